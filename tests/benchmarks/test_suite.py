"""A run of the suite on real files."""

from __future__ import annotations

import json
import platform
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_benchmarks import suite
from fmx_runtime.errors import DataError, ModelFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmx_benchmarks.result import Result
    from fmx_training.dataset import Dataset
    from fmx_training.run import Run


def test_every_model_is_measured(result: Result, files: Sequence[Path], finished: Run) -> None:
    """The Keras model comes first, then the files as given, each with all its samples."""
    assert [one.name for one in result.variants] == [
        finished.model_path.name,
        *(path.name for path in files),
    ]
    for variant in result.variants:
        assert [len(one.calls_us) for one in variant.rounds] == [200] * 4
        assert len(variant.starts_s) == len(variant.peaks_bytes) == 2
    sizes = [path.stat().st_size for path in (finished.model_path, *files)]
    assert [one.size_bytes for one in result.variants] == sizes


def test_float_files_answer_as_keras_does(result: Result) -> None:
    """Float files give every picture the Keras model's label, int8 files nearly every."""
    for variant in result.variants:
        agreement = result.agreement(variant).value
        assert agreement == 1 if variant.precision == "float32" else agreement > 0.97


def test_accuracy_is_the_trained_ones(result: Result, finished: Run) -> None:
    """The share of pictures right is near what training measured on other test pictures."""
    trained = json.loads(finished.metrics_path.read_text("utf-8"))["test"]["accuracy"]
    low, high = result.accuracy(result.reference).interval
    assert low - 0.04 < trained < high + 0.04


def test_int8_is_faster(result: Result) -> None:
    """Both int8 files answer faster than the float file of their format."""
    if platform.machine() != "x86_64":
        pytest.skip("how much int8 gains is stated for x86-64")
    for variant in result.variants:
        baseline = result.baseline(variant)
        if variant.precision == "int8":
            assert baseline is not None
            assert statistics.median(result.speedups(variant, baseline)) > 1


def test_files_alone(files: Sequence[Path], pictures: Dataset) -> None:
    """Without a Keras model the float file is what answers are compared with."""
    told: list[str] = []
    chosen = [files[2], files[0]]
    result = suite.run(
        chosen,
        pictures.images[:40],
        pictures.labels[:40],
        data="few",
        keras_model=None,
        rounds=1,
        calls=5,
        starts=1,
        progress=told.append,
    )
    assert result.reference.name == files[0].name
    assert len(told) == len(chosen) + 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((3, 28, 28), np.uint8)}, r"Received: uint8 \(3, 28, 28\)"),
        ({"images": np.zeros((3, 28, 28, 1), np.float32)}, "Received: float32"),
        ({"images": np.zeros((0, 28, 28, 1), np.uint8)}, "n at least 1"),
        ({"labels": np.zeros(4, np.int64)}, r"one for each picture. Received: int64 \(4,\)"),
        ({"labels": np.array([0, 0, 10])}, "labels go from 0 to 10, .* has 10 classes"),
        ({"rounds": 0}, "rounds must be at least 1. Received: rounds=0"),
    ],
)
def test_what_cannot_be_used_is_refused(
    files: Sequence[Path], change: dict[str, object], message: str
) -> None:
    """Pictures, labels and counts that do not fit are named in one line."""
    arguments: dict[str, object] = {
        "images": np.zeros((3, 28, 28, 1), np.uint8),
        "labels": np.zeros(3, np.int64),
        "rounds": 1,
        **change,
    }
    images, labels = arguments.pop("images"), arguments.pop("labels")
    with pytest.raises(DataError, match=message) as caught:
        suite.run(files[:1], images, labels, data="x", keras_model=None, **arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_no_file_and_a_missing_file(pictures: Dataset) -> None:
    """Nothing to measure, and a file that is not there, are said."""
    with pytest.raises(DataError, match="no model file to benchmark"):
        suite.run([], pictures.images, pictures.labels, data="x", keras_model=None)
    with pytest.raises(ModelFileError, match="does not exist"):
        suite.run(
            [Path("nowhere.tflite")], pictures.images, pictures.labels, data="x", keras_model=None
        )
