"""A finished run folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import keras
import numpy as np
from PIL import Image

from fmx_runtime.images.preprocess import to_tensor

if TYPE_CHECKING:
    from fmx_training.data.dataset import Splits
    from fmx_training.run_folder import Run


def test_metrics_are_those_of_the_saved_model(finished: Run, few: Splits) -> None:
    """Accuracy and loss in metrics.json are what Keras' own evaluate says of model.keras."""
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


def test_it_learns(finished: Run) -> None:
    """Three epochs on 2,000 images are far better than chance, and each epoch lowers the loss."""
    history = json.loads(finished.history_path.read_text("utf-8"))["epochs"]
    losses = [epoch["loss"] for epoch in history]
    assert losses == sorted(losses, reverse=True)
    assert history[-1]["val_accuracy"] > 0.5


def test_images_are_images(finished: Run) -> None:
    """The curves and the confusion matrix are PNG files of a readable size."""
    for name in ("learning_curves.png", "confusion_matrix.png"):
        with Image.open(finished.folder / name) as image:
            assert image.format == "PNG"
            assert min(image.size) > 400


def test_confused_pairs_are_in_words(finished: Run) -> None:
    """confused_pairs.txt holds a sentence for each of the most frequent mistakes, as in metrics.json."""
    lines = (finished.folder / "confused_pairs.txt").read_text("utf-8").splitlines()
    assert lines == json.loads(finished.metrics_path.read_text("utf-8"))["confused_pairs"]
    assert len(lines) == 5
    assert all(" predicted as " in line for line in lines)
