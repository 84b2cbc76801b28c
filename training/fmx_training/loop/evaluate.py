"""What a trained network makes of labeled images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fmx_runtime.images.preprocess import to_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmx_runtime.model_file.metadata import InputSpec
    from fmx_training.data.dataset import Dataset

__all__ = ["ConfusedPair", "Evaluation", "confused_pairs", "evaluate", "in_words"]

_SMALLEST = 1e-7  # Keras' own clip of a probability before its logarithm


@dataclass(frozen=True)
class Evaluation:
    """Figures of a network on one data set.

    Attributes:
        data: the data set's name.
        size: number of images.
        accuracy: top-1, a fraction.
        loss: mean categorical cross-entropy, nats.
        confusion: ``confusion[i][j]`` images of class ``i`` were called ``j``.
    """

    data: str
    size: int
    accuracy: float
    loss: float
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class ConfusedPair:
    """``count`` of the ``total`` images of class ``actual`` were called ``called``."""

    actual: str
    called: str
    count: int
    total: int


def evaluate(model: Any, spec: InputSpec, dataset: Dataset) -> Evaluation:
    """Ask a Keras model about each image.

    Args:
        model: ``(n, h, w, c)`` -> probabilities ``(n, classes)``.
        spec: its input.
        dataset: the images.
    """
    tensor = to_tensor(dataset.images, spec)
    answers: NDArray[np.float32] = model.predict(tensor, batch_size=500, verbose=0)
    classes = len(dataset.class_names)
    called = answers.argmax(axis=1)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (dataset.labels, called), 1)
    own = answers[np.arange(len(dataset)), dataset.labels].astype(np.float64)
    return Evaluation(
        data=dataset.name,
        size=len(dataset),
        accuracy=float(np.mean(called == dataset.labels)),
        loss=float(-np.log(np.clip(own, _SMALLEST, 1)).mean()),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )


def confused_pairs(
    evaluation: Evaluation, labels: tuple[str, ...], top: int = 5
) -> tuple[ConfusedPair, ...]:
    """The most frequent mistakes, the most frequent first; fewer than ``top`` if there are fewer.

    Args:
        evaluation: with the confusion to read.
        labels: the classes' names.
        top: how many, at least 1.
    """
    pairs = [
        ConfusedPair(labels[i], labels[j], count, sum(row))
        for i, row in enumerate(evaluation.confusion)
        for j, count in enumerate(row)
        if i != j and count
    ]
    return tuple(sorted(pairs, key=lambda pair: (-pair.count, pair.actual, pair.called))[:top])


def in_words(pair: ConfusedPair) -> str:
    """For example ``Shirt is taken for T-shirt/top: 96 of 1,000 (9.6 %)``."""
    share = 100 * pair.count / pair.total
    return (
        f"{pair.actual} is taken for {pair.called}: {pair.count} of {pair.total:,} ({share:.1f} %)"
    )
