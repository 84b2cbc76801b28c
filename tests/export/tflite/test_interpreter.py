"""What calibration and quantization need of LiteRT's interpreter."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

import pytest
from ai_edge_litert.interpreter import Interpreter

from fmx_export.pipeline.read_graph import read_graph
from fmx_export.tflite.interpreter import input_name, quiet

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_input_name_is_that_of_the_file(precision: str, exported: Path) -> None:
    """The name that the interpreter reports is the one that is stored in the file."""
    content = (exported / f"baseline.{precision}.tflite").read_bytes()
    assert input_name(content) == read_graph(content).inputs[0].name != ""


def test_the_warning_about_preserved_tensors_is_silent(
    exported: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """LiteRT warns when it preserves all tensors; inside of `quiet` it does not."""
    content = (exported / "baseline.float32.tflite").read_bytes()
    Interpreter(model_content=content, experimental_preserve_all_tensors=True)
    assert len(recwarn) == 1
    recwarn.clear()
    with quiet():
        Interpreter(model_content=content, experimental_preserve_all_tensors=True)
    assert not len(recwarn)


def test_progress_bars_are_silent(
    capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    """Text on stderr is dropped; stdout and other warnings are not."""
    with quiet():
        sys.stderr.write("100%")
        sys.stdout.write("result")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    sys.stderr.write("after")
    assert capsys.readouterr() == ("result", "after")
    assert [item.category for item in recwarn] == [DeprecationWarning]
