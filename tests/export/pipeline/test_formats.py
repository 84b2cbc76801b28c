"""The formats and their file names."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest

from fmx_export.pipeline.formats import FLOAT32, INT8, Format
from fmx_runtime.backends.base import ModelFormat
from fmx_runtime.model_file.metadata import Precision

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("file_format", Format)
def test_names_hold_format_and_precision(file_format: Format) -> None:
    """Each name consists of a model format and a precision that the metadata knows."""
    assert file_format.model_format in get_args(ModelFormat)
    assert file_format.precision in get_args(Precision)
    assert f"{file_format.model_format}-{file_format.precision}" == file_format.value
    assert file_format.file_name("bag") == f"bag.{file_format.precision}.{file_format.model_format}"


def test_tflite_has_all_precisions() -> None:
    """TFLite has every precision that the metadata knows; no two file names are equal."""
    in_tflite = {
        file_format.precision for file_format in Format if file_format.model_format == "tflite"
    }
    assert in_tflite == set(get_args(Precision))
    assert len({file_format.file_name("bag") for file_format in Format}) == len(Format)


def test_formats_that_need_calibration() -> None:
    """Formats with integer activations need calibration, and only those."""
    assert {file_format for file_format in Format if file_format.needs_calibration} == {
        Format.TFLITE_INT8,
        Format.TFLITE_INT16X8,
        Format.ONNX_INT8,
    }


def test_file_names_of_an_export(exported: Path) -> None:
    """An export in the float32 and int8 formats has the files with these names."""
    names = {file_format.file_name("baseline") for file_format in (*FLOAT32, *INT8)}
    assert names == {path.name for path in exported.iterdir()} - {"manifest.json"}
