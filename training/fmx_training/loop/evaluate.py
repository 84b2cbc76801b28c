"""Evaluate a trained network: accuracy, loss, confusion matrix and the most confused classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fmx_runtime.images.preprocess import to_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmx_runtime.model_file.metadata import InputSpec
    from fmx_training.data.dataset import Dataset

__all__ = ["ConfusedPair", "Evaluation", "confused_pairs", "evaluate"]

_BATCH_SIZE = 500
_SMALLEST_PROBABILITY = 1e-7
"""Probabilities are raised to this before their logarithm is taken, as in Keras."""


@dataclass(frozen=True)
class Evaluation:
    """Figures of a network on one data set.

    Attributes:
        data: name of the data set.
        size: number of images.
        accuracy: top-1 accuracy, 0..1.
        loss: mean categorical cross-entropy in nats.
        confusion_matrix: ``confusion_matrix[i][j]`` images of class ``i`` were predicted as class
            ``j``.
    """

    data: str
    size: int
    accuracy: float
    loss: float
    confusion_matrix: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class ConfusedPair:
    """Two classes that a network confuses.

    Attributes:
        actual: the class of the images.
        predicted: the class that was predicted for them.
        count: number of these images.
        total: number of all images of class ``actual``.
    """

    actual: str
    predicted: str
    count: int
    total: int

    def __str__(self) -> str:
        """For example ``Shirt predicted as T-shirt/top: 96 of 1,000 (9.6 %)``."""
        percent = 100 * self.count / self.total
        return (
            f"{self.actual} predicted as {self.predicted}: {self.count} of {self.total:,} "
            f"({percent:.1f} %)"
        )


def evaluate(model: Any, spec: InputSpec, dataset: Dataset) -> Evaluation:
    """Evaluate a Keras model on labeled images.

    Args:
        model: maps float32 ``(n, height, width, channels)`` to probabilities ``(n, classes)``.
        spec: input of the model.
        dataset: the images and their labels.
    """
    tensor = to_tensor(dataset.images, spec)
    scores: NDArray[np.float32] = model.predict(tensor, batch_size=_BATCH_SIZE, verbose=0)
    predictions = scores.argmax(axis=1)
    classes = len(dataset.class_names)
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (dataset.labels, predictions), 1)
    label_scores = scores[np.arange(len(dataset)), dataset.labels].astype(np.float64)
    return Evaluation(
        data=dataset.name,
        size=len(dataset),
        accuracy=float(np.mean(predictions == dataset.labels)),
        loss=float(-np.log(np.clip(label_scores, _SMALLEST_PROBABILITY, 1)).mean()),
        confusion_matrix=tuple(tuple(row) for row in matrix.tolist()),
    )


def confused_pairs(
    evaluation: Evaluation, labels: tuple[str, ...], top: int = 5
) -> tuple[ConfusedPair, ...]:
    """Return the most frequent confusions, the most frequent first.

    Args:
        evaluation: has the confusion matrix.
        labels: names of the classes.
        top: the largest number of pairs to return, 1 or more.
    """
    pairs = [
        ConfusedPair(labels[i], labels[j], count, sum(row))
        for i, row in enumerate(evaluation.confusion_matrix)
        for j, count in enumerate(row)
        if i != j and count
    ]
    return tuple(sorted(pairs, key=lambda pair: (-pair.count, pair.actual, pair.predicted))[:top])
