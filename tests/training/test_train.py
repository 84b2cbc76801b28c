"""The files of a finished run, and how runs are started and resumed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
from PIL import Image

from fmx_runtime.errors import DataError
from fmx_runtime.images.preprocess import to_tensor
from fmx_training.data.training_data import TrainingData
from fmx_training.options import TrainOptions
from fmx_training.run_folder import open_run
from fmx_training.train import (
    PreparedRun,
    complete_run,
    open_unfinished_run,
    resume_run,
    start_run,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from fmx_training.data.dataset import Splits
    from fmx_training.data.fashion_mnist import Found
    from fmx_training.run_folder import Run


def test_metrics_equal_keras_evaluation(finished: Run, few: Splits) -> None:
    """Accuracy and loss in metrics.json are those of `keras.Model.evaluate` with model.keras."""
    metrics = json.loads(finished.metrics_path.read_text("utf-8"))
    model = keras.models.load_model(finished.model_path)
    model.compile(loss="categorical_crossentropy", metrics=["accuracy"])
    for split in (few.validation, few.test):
        tensor = to_tensor(split.images, finished.info.input)
        one_hot = keras.utils.to_categorical(split.labels, len(split.class_names))
        loss, accuracy = model.evaluate(tensor, one_hot, verbose=0)
        stated = metrics["test" if split is few.test else "validation"]
        assert stated["accuracy"] == np.float32(accuracy).round(6) or np.isclose(
            stated["accuracy"], accuracy, atol=1e-6
        )
        assert np.isclose(stated["loss"], loss, rtol=1e-5)
        assert stated["size"] == len(split) == np.sum(stated["confusion_matrix"])


def test_network_learns(finished: Run) -> None:
    """Three epochs on 2,000 images are far better than chance, and each epoch lowers the loss."""
    history = json.loads(finished.history_path.read_text("utf-8"))["epochs"]
    losses = [epoch["loss"] for epoch in history]
    assert losses == sorted(losses, reverse=True)
    assert history[-1]["val_accuracy"] > 0.5


def test_plots_are_png_files(finished: Run) -> None:
    """The learning curves and the confusion matrix are PNG files of a readable size."""
    for name in ("learning_curves.png", "confusion_matrix.png"):
        with Image.open(finished.folder / name) as image:
            assert image.format == "PNG"
            assert min(image.size) > 400


def test_confused_pairs(finished: Run) -> None:
    """confused_pairs.txt has a line for each of the most frequent confusions, as metrics.json."""
    lines = (finished.folder / "confused_pairs.txt").read_text("utf-8").splitlines()
    assert lines == json.loads(finished.metrics_path.read_text("utf-8"))["confused_pairs"]
    assert len(lines) == 5
    assert all(" predicted as " in line for line in lines)


def test_run_is_started_and_completed(found: Found, tmp_path: Path) -> None:
    """A started run has its settings in its folder; its data is that of the options."""
    options = TrainOptions(recipe="baseline", epochs=1, seed=3, data_dir=found.folder)
    prepared = start_run(options, tmp_path / "runs", watch=_no_progress, report=print)
    assert prepared.run.folder.parent == tmp_path / "runs"
    assert prepared.run.folder.name.startswith("baseline-")
    assert open_run(prepared.run.folder) == prepared.run
    assert (prepared.run.info.epochs, prepared.run.info.seed) == (1, 3)
    resumed = resume_run(TrainOptions(data_dir=found.folder), tmp_path / "runs")
    assert resumed.run == prepared.run
    assert resumed.data.examples.sha256 == prepared.data.examples.sha256


def test_completing_a_prepared_run(
    create_run: Callable[..., Run], few: Splits, tmp_path: Path
) -> None:
    """The last epoch, the metrics and all files are there afterwards."""
    prepared = PreparedRun(create_run(tmp_path / "run", epochs=1), TrainingData(few))
    lines: list[str] = []
    metrics = complete_run(prepared, report=lines.append)
    assert [line.split("  ")[0] for line in lines] == ["epoch"]
    assert prepared.run.finished
    assert metrics.test.size == len(few.test)


def test_finished_runs_are_not_resumed(create_run: Callable[..., Run], tmp_path: Path) -> None:
    """Without a folder the newest unfinished run is opened, with one that run."""
    run = create_run(tmp_path / "runs/unfinished")
    done = create_run(tmp_path / "runs/finished")
    done.metrics_path.write_text("{}", "utf-8")
    assert open_unfinished_run(TrainOptions(), tmp_path / "runs") == run
    assert open_unfinished_run(TrainOptions(output=run.folder), tmp_path / "other") == run
    with pytest.raises(DataError, match="no unfinished training run"):
        open_unfinished_run(TrainOptions(), tmp_path / "other")


def _no_progress(items: Iterable[Any], total: int, description: str) -> Iterable[Any]:
    del total, description
    return items
