"""The measuring process, started for real."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_benchmarks.process import Worker, last_core
from fmx_runtime.card import ModelCard
from fmx_runtime.classifier import Classifier
from fmx_runtime.errors import BackendError, ModelFileError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fmx_training.dataset import Dataset
    from fmx_training.run import Run


@pytest.fixture(scope="module")
def images(pictures: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures as a file."""
    path = tmp_path_factory.mktemp("pictures") / "pictures.npy"
    np.save(path, pictures.images)
    return path


def _worker(model: Path, images: Path, *, core: int | None = None) -> Worker:
    return Worker(model, images, keras_card=None, core=core)


def test_it_answers_as_the_classifier_does(
    files: Sequence[Path], images: Path, pictures: Dataset
) -> None:
    """Answers and scores of a pass are those of the library in this process."""
    for path in files:
        with _worker(path, images) as worker:
            answered = worker.ask(do="pass", chunk=128)
        rows = Classifier(path).predict(pictures.images)
        assert answered["answers"] == rows.argmax(axis=1).tolist()
        assert np.allclose(answered["scores"], rows.max(axis=1), atol=1e-4)
        assert answered["pass_s"] > 0


def test_it_introduces_itself(files: Sequence[Path], images: Path) -> None:
    """Card, interpreter and memory of the process, and a start that takes time but not long."""
    with _worker(files[2], images) as worker:
        said = worker.introduction
    assert ModelCard.from_json(said["card"]).precision == "int8"
    assert said["runtime"].startswith("ai-edge-litert ")
    assert 10e6 < said["peak_bytes"] < 400e6
    assert 0.01 < worker.start_s < 30


def test_no_tensorflow_in_a_files_process(files: Sequence[Path], images: Path) -> None:
    """A model file is measured without TensorFlow: its process maps no library of it."""
    with _worker(files[2], images) as worker:
        maps = open(f"/proc/{worker._process.pid}/maps").read()  # noqa: PTH123, SIM115
    assert "litert" in maps
    assert "tensorflow_framework" not in maps


def test_it_stays_on_its_core(files: Sequence[Path], images: Path) -> None:
    """The process runs on the core it was given."""
    core = last_core()
    assert core is not None
    with _worker(files[2], images, core=core) as worker:
        assert os.sched_getaffinity(worker._process.pid) == {core}


def test_a_file_that_is_no_model(images: Path, tmp_path: Path) -> None:
    """The worker's error arrives as the same type, in one line that names the file."""
    path = tmp_path / "none.int8.tflite"
    path.write_text("no model", "utf-8")
    with pytest.raises(ModelFileError, match=r"none\.int8\.tflite") as caught:
        _worker(path, images)
    assert "\n" not in str(caught.value)


def test_pictures_of_another_size(files: Sequence[Path], tmp_path: Path) -> None:
    """Pictures that the model does not take are refused with both shapes."""
    np.save(tmp_path / "large.npy", np.zeros((2, 32, 32, 3), np.uint8))
    with pytest.raises(ModelFileError, match=r"\(28, 28, 1\), these are \(32, 32, 3\)"):
        _worker(files[0], tmp_path / "large.npy")


def test_a_process_that_is_killed(files: Sequence[Path], images: Path) -> None:
    """A process that dies is told as such, with the signal."""
    with _worker(files[0], images) as worker:
        worker._process.send_signal(signal.SIGKILL)
        worker._process.wait()
        with pytest.raises(BackendError, match="SIGKILL"):
            worker.ask(do="pass", chunk=1)


def test_it_ends_with_its_context(files: Sequence[Path], images: Path) -> None:
    """No process is left behind."""
    with _worker(files[0], images) as worker:
        assert worker._process.poll() is None
    assert worker._process.poll() == 0


def test_a_keras_model_that_is_none(
    files: Sequence[Path], finished: Run, images: Path, tmp_path: Path
) -> None:
    """A damaged Keras file is a ModelFileError that names it."""
    path = tmp_path / "model.keras"
    path.write_bytes(finished.model_path.read_bytes()[:5000])
    card = Classifier(files[0]).card.to_json()
    with pytest.raises(ModelFileError, match=r"model\.keras' cannot be loaded by Keras"):
        Worker(path, images, keras_card=card, core=None)
