"""Accuracy, log loss and calibration error: pure functions of labels, predictions and scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "MIN_SCORE",
    "Z95",
    "Difference",
    "Proportion",
    "accuracy_by_class",
    "accuracy_difference",
    "calibration_error",
    "calibration_errors",
    "confusion_matrix",
    "log_loss",
    "log_losses",
    "proportion",
]

MIN_SCORE = 1 / 512
"""The lower bound of scores in the log loss: half a quantization step of an int8 file's output.

Int8 files round smaller scores to 0, whose logarithm would dominate the mean.
"""

_BINS = 15

Z95 = 1.959963984540054
"""The 97.5th percentile of the normal distribution: 95 % lie within plus and minus this."""


@dataclass(frozen=True)
class Proportion:
    """A share of successes, such as an accuracy.

    Attributes:
        hits: the number of successes.
        total: the number of trials, at least 1.
    """

    hits: int
    total: int

    @property
    def value(self) -> float:
        """The share, 0 to 1."""
        return self.hits / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson score interval, within 0 and 1.

        E. B. Wilson: Probable inference, the law of succession, and statistical inference, 1927.
        """
        from scipy.stats import binomtest

        found = binomtest(self.hits, self.total).proportion_ci(0.95, method="wilson")
        return float(found.low), float(found.high)


@dataclass(frozen=True)
class Difference:
    """The difference between a model's accuracy and a reference's on the same images.

    Attributes:
        gained: images that only the model classifies correctly.
        lost: images that only the reference classifies correctly.
        total: all images, at least 1.
    """

    gained: int
    lost: int
    total: int

    @property
    def value(self) -> float:
        """The model's accuracy minus the reference's, -1 to 1."""
        return (self.gained - self.lost) / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval for matched pairs.

        A. Agresti, Y. Min: Simple improved confidence intervals for comparing matched
        proportions, 2005. It adds half an image to each kind of outcome.
        """
        gained, lost, total = self.gained + 0.5, self.lost + 0.5, self.total + 2
        center = (gained - lost) / total
        half_width = Z95 * math.sqrt(gained + lost - (gained - lost) ** 2 / total) / total
        return max(-1.0, center - half_width), min(1.0, center + half_width)

    @property
    def p_value(self) -> float:
        """The p-value of McNemar's exact test of equal accuracy.

        Q. McNemar: Note on the sampling error of the difference between correlated proportions or
        percentages, 1947; exact, as a two-sided binomial test.
        """
        from scipy.stats import binomtest

        changed = self.gained + self.lost
        return float(binomtest(self.gained, changed).pvalue) if changed else 1.0


def proportion(hits: NDArray[np.bool_]) -> Proportion:
    """Return the share of true values.

    Args:
        hits: bool ``(n,)``, n at least 1.
    """
    return Proportion(int(np.count_nonzero(hits)), len(hits))


def accuracy_difference(
    labels: NDArray[np.int64], reference: NDArray[np.int64], predictions: NDArray[np.int64]
) -> Difference:
    """Compare two models' predictions image by image.

    Args:
        labels: int64 ``(n,)``, the true classes.
        reference: int64 ``(n,)``, the reference's predictions.
        predictions: int64 ``(n,)``, the model's predictions.
    """
    before, after = reference == labels, predictions == labels
    return Difference(
        gained=int(np.count_nonzero(after & ~before)),
        lost=int(np.count_nonzero(before & ~after)),
        total=len(labels),
    )


def confusion_matrix(
    labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """Return the confusion matrix.

    Args:
        labels: int64 ``(n,)``, the true classes, 0 to ``classes - 1``.
        predictions: int64 ``(n,)``, the predicted classes, 0 to ``classes - 1``.
        classes: the number of classes.

    Returns:
        int64 ``(classes, classes)``: counts by true class (rows) and predicted class (columns).
    """
    counts = np.bincount(labels * classes + predictions, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def accuracy_by_class(matrix: NDArray[np.int64]) -> tuple[Proportion | None, ...]:
    """Return the accuracy on each class's images; None for a class without images.

    Args:
        matrix: int64 ``(classes, classes)`` from `confusion_matrix`.
    """
    pairs = zip(matrix.diagonal().tolist(), matrix.sum(axis=1).tolist(), strict=True)
    return tuple(Proportion(hits, total) if total else None for hits, total in pairs)


def log_losses(true_label_scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each image's log loss, in nats: float64 ``(n,)``.

    Args:
        true_label_scores: float64 ``(n,)``, 0 to 1; values below `MIN_SCORE` count as that.
    """
    losses: NDArray[np.float64] = -np.log(np.maximum(true_label_scores, MIN_SCORE))
    return losses


def log_loss(true_label_scores: NDArray[np.float64]) -> float:
    """Return the mean of `log_losses`, for at least one image."""
    return float(log_losses(true_label_scores).mean())


def calibration_errors(scores: NDArray[np.float64], hits: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return what each image adds to the expected calibration error: float64 ``(n,)``.

    It is the image's score minus its hit, with the sign of its bin's total; the mean over all
    images is the calibration error.

    Args:
        scores: see `calibration_error`.
        hits: see `calibration_error`.
    """
    bins = np.minimum((np.nan_to_num(scores) * _BINS).astype(np.int64), _BINS - 1)
    excess = scores - hits
    signs: NDArray[np.float64] = np.sign(np.bincount(bins, weights=excess, minlength=_BINS))[bins]
    return signs * excess


def calibration_error(scores: NDArray[np.float64], hits: NDArray[np.bool_]) -> float:
    """Return the expected calibration error (ECE), 0 to 1.

    M. P. Naeini, G. F. Cooper, M. Hauskrecht: Obtaining well calibrated probabilities using
    Bayesian binning, 2015; with 15 bins of equal width, as in C. Guo et al.: On calibration of
    modern neural networks, 2017.

    Args:
        scores: float64 ``(n,)``, the score of each predicted class, 0 to 1; n at least 1.
        hits: bool ``(n,)``, whether each prediction is correct.
    """
    return float(calibration_errors(scores, hits).mean())
