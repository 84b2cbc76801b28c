"""The kinds of files, and what they are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest

from fmx_export.pipeline.formats import FLOAT32, INT8, Format
from fmx_runtime.backends.base import ModelFormat
from fmx_runtime.model_file.metadata import Precision

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("form", Format)
def test_a_name_is_a_format_and_a_precision(form: Format) -> None:
    """Each name splits into a format that the runtime runs and a precision that metadata states."""
    assert form.model_format in get_args(ModelFormat)
    assert form.precision in get_args(Precision)
    assert f"{form.model_format}-{form.precision}" == form.value
    assert form.file_name("bag") == f"bag.{form.precision}.{form.model_format}"


def test_all_precisions_are_there() -> None:
    """TFLite comes in every precision that metadata can state; names are told apart."""
    in_tflite = {form.precision for form in Format if form.model_format == "tflite"}
    assert in_tflite == set(get_args(Precision))
    assert len({form.file_name("bag") for form in Format}) == len(Format)


def test_what_is_calibrated() -> None:
    """Only where activations are stored as integers their ranges have to be known before."""
    assert {form for form in Format if form.calibrated} == {
        Format.TFLITE_INT8,
        Format.TFLITE_INT16X8,
        Format.ONNX_INT8,
    }


def test_the_usual_files(exported: Path) -> None:
    """A folder exported in the float32 and the int8 formats has the files that these names give."""
    names = {form.file_name("baseline") for form in (*FLOAT32, *INT8)}
    assert names == {path.name for path in exported.iterdir()} - {"manifest.json"}
