"""Quick speed-ups of real files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fmx_benchmarks.measure.quick_speedup import ModelFile, quick_speedups

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_training.data.dataset import Dataset


@pytest.fixture
def model_files(exported: Path) -> list[ModelFile]:
    """The float and int8 files of both formats."""
    return [
        ModelFile(exported / f"baseline.{precision}.{form}", form, precision)
        for form in ("tflite", "onnx")
        for precision in ("int8", "float32")
    ]


@pytest.mark.timed
@pytest.mark.usefixtures("quick_int8")
def test_int8_is_faster(model_files: list[ModelFile], images: Dataset) -> None:
    """Each int8 file is faster than the float32 file of its format, which is left out."""
    speedups = quick_speedups(model_files, images.images[:10])
    assert set(speedups) == {"baseline.int8.tflite", "baseline.int8.onnx"}
    assert min(speedups.values()) > 1.2


def test_without_a_float_file(model_files: list[ModelFile], images: Dataset) -> None:
    """A file is compared with the float32 file of its own format only."""
    speedups = quick_speedups(model_files[:3], images.images[:10])
    assert set(speedups) == {"baseline.int8.tflite"}
