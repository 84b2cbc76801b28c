"""Reference tools on real files."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_benchmarks.measure import reference_tools

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fmx_runtime.bench.result import ReferenceToolTiming
    from fmx_training.data.dataset import Dataset


@pytest.fixture(scope="module")
def measured(
    files: Sequence[Path], images: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ReferenceToolTiming, ...]:
    """Each tool on the int8 files."""
    path = tmp_path_factory.mktemp("reference_tools") / "images.npy"
    np.save(path, images.images)
    return reference_tools.measure_reference_tools(
        files[2:], path, repeats=3, core=None, progress=lambda _: None
    )


def test_each_tool_measures_its_files(measured: Sequence[ReferenceToolTiming]) -> None:
    """LiteRT's tool takes TFLite files, onnxruntime ONNX, and LoadGen both."""
    pytest.importorskip("mlperf_loadgen")
    assert [(one.tool, one.variant) for one in measured] == [
        ("litert-benchmark", "baseline.int8.tflite"),
        ("litert-benchmark", "baseline.int8.tflite"),
        ("onnxruntime alone", "baseline.int8.onnx"),
        ("LoadGen", "baseline.int8.tflite"),
        ("LoadGen", "baseline.int8.onnx"),
    ]
    for one in measured:
        assert len(one.tool_us) == len(one.fmx_us) == 3
        assert one.version


@pytest.mark.timed
def test_tool_and_fmx_are_of_the_same_size(measured: Sequence[ReferenceToolTiming]) -> None:
    """Whatever else the machine does, both have the same order of magnitude: units are right."""
    for one in measured:
        pairs = zip(one.tool_us, one.fmx_us, strict=True)
        ratio = statistics.median(tool / fmx for tool, fmx in pairs)
        assert 0.4 < ratio < 2.5, one


def test_a_tool_that_fails_is_left_out(files: Sequence[Path], tmp_path: Path) -> None:
    """Without images no tool can measure: each is reported in a line, and none raises."""
    lines: list[str] = []
    nothing = tmp_path / "nothing.npy"
    assert not reference_tools.measure_reference_tools(
        files[3:], nothing, repeats=1, core=None, progress=lines.append
    )
    assert any("onnxruntime alone is left out: onnxruntime failed: " in line for line in lines)
