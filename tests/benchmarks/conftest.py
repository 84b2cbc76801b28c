"""One real run of the suite, small: four files and their Keras model on 300 test pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fmx_benchmarks import suite

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fmx_benchmarks.result import Result
    from fmx_training.dataset import Dataset, Splits
    from fmx_training.run import Run


@pytest.fixture(scope="session")
def pictures(splits: Splits) -> Dataset:
    """300 real test pictures, 30 of each class."""
    return splits.test.balanced_sample(300, 0)


@pytest.fixture(scope="session")
def files(exported: Path) -> Sequence[Path]:
    """The float and int8 files of both formats."""
    return [
        exported / f"baseline.{precision}.{form}"
        for precision in ("float32", "int8")
        for form in ("tflite", "onnx")
    ]


@pytest.fixture(scope="session")
def result(files: Sequence[Path], finished: Run, pictures: Dataset) -> Result:
    """What the suite measured."""
    return suite.run(
        files,
        pictures.images,
        pictures.labels,
        data=pictures.name,
        keras_model=finished.model_path,
        rounds=4,
        calls=200,
        starts=2,
    )
