"""Others' tools on real files."""

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
    path = tmp_path_factory.mktemp("peers") / "images.npy"
    np.save(path, images.images)
    return reference_tools.measure_reference_tools(
        files[2:], path, rounds=3, core=None, progress=lambda _: None
    )


def test_each_tool_measures_its_files(measured: Sequence[ReferenceToolTiming]) -> None:
    """LiteRT's tool takes TFLite files, onnxruntime ONNX, and LoadGen both."""
    pytest.importorskip("mlperf_loadgen")
    assert [(one.peer, one.variant) for one in measured] == [
        ("litert-benchmark", "baseline.int8.tflite"),
        ("litert-benchmark", "baseline.int8.tflite"),
        ("onnxruntime alone", "baseline.int8.onnx"),
        ("LoadGen", "baseline.int8.tflite"),
        ("LoadGen", "baseline.int8.onnx"),
    ]
    for one in measured:
        assert len(one.theirs_us) == len(one.ours_us) == 3
        assert one.version


def test_theirs_and_ours_are_of_one_size(measured: Sequence[ReferenceToolTiming]) -> None:
    """On whatever else the machine does, both are of the same order: no unit is mistaken."""
    for one in measured:
        pairs = zip(one.theirs_us, one.ours_us, strict=True)
        ratio = statistics.median(theirs / ours for theirs, ours in pairs)
        assert 0.4 < ratio < 2.5, one


def test_a_tool_that_fails_is_left_out(files: Sequence[Path], tmp_path: Path) -> None:
    """Without images no tool can measure: each is told of in a line, and none raises."""
    told: list[str] = []
    nothing = tmp_path / "nothing.npy"
    assert not reference_tools.measure_reference_tools(
        files[3:], nothing, rounds=1, core=None, progress=told.append
    )
    assert any("onnxruntime alone is left out: onnxruntime failed: " in line for line in told)
