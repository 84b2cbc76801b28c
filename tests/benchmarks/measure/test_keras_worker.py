"""The Keras model as a predictor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_runtime.bench.process import measure
from fmx_runtime.classifier import Classifier
from fmx_runtime.errors import ModelFileError

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_training.data.dataset import Dataset
    from fmx_training.run_folder import Run

WORKER = "fmx_benchmarks.measure.keras_worker"


def test_it_predicts_as_its_float_file(
    finished: Run, exported: Path, images: Dataset, tmp_path: Path
) -> None:
    """A process with the Keras model predicts the labels of the file exported from it."""
    metadata = Classifier(exported / "baseline.float32.tflite").metadata
    np.save(tmp_path / "images.npy", images.images)
    np.save(tmp_path / "labels.npy", images.labels)
    done = measure(
        finished.model_path,
        tmp_path / "images.npy",
        worker=[WORKER, metadata.to_json()],
        threads=1,
        core=None,
        labels=str(tmp_path / "labels.npy"),
    )
    assert done.runtime.startswith("TensorFlow 2.")
    expected = Classifier(exported / "baseline.float32.tflite").predict(images.images)
    assert done.values["predictions"] == expected.argmax(axis=1).tolist()
    assert np.allclose(done.values["scores"], expected.max(axis=1), atol=1e-3)


def test_a_file_that_is_no_keras_model(exported: Path, images: Dataset, tmp_path: Path) -> None:
    """The error is one line that names the file and Keras' version.

    In a process of its own, as threads are set before TensorFlow computes anything.
    """
    path = exported / "baseline.float32.tflite"
    np.save(tmp_path / "images.npy", images.images[:1])
    np.save(tmp_path / "labels.npy", images.labels[:1])
    with pytest.raises(ModelFileError, match=r"cannot be loaded by Keras \d") as caught:
        measure(
            path,
            tmp_path / "images.npy",
            worker=[WORKER, Classifier(path).metadata.to_json()],
            threads=1,
            core=None,
            labels=str(tmp_path / "labels.npy"),
        )
    assert "\n" not in str(caught.value)
