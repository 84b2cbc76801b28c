"""How often answers are right, and how sure that is; pure functions of labels and answers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "LEAST_PROBABILITY",
    "Z95",
    "Difference",
    "Proportion",
    "calibration_error",
    "confusion",
    "difference",
    "log_loss",
    "log_losses",
    "miscalibration",
    "per_class",
    "proportion",
]

LEAST_PROBABILITY = 1 / 512
"""What smaller ones count as in the log loss: half the step of the probabilities of int8 files.

They give 0 to whatever is below it, whose logarithm would be all that counts.
"""

_BINS = 15

Z95 = 1.959963984540054
"""Of the normal distribution, 95 % lie within so many standard deviations."""


@dataclass(frozen=True)
class Proportion:
    """``hits`` of ``total``, at least one; ``value`` and its bounds are fractions."""

    hits: int
    total: int

    @property
    def value(self) -> float:
        """The fraction itself."""
        return self.hits / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval, which stays within 0 and 1 and holds for few images too.

        E. B. Wilson: Probable inference, the law of succession, and statistical inference, 1927.
        """
        z2 = Z95**2
        middle = (self.hits + z2 / 2) / (self.total + z2)
        misses = self.total - self.hits
        half = Z95 * math.sqrt(self.hits * misses / self.total + z2 / 4) / (self.total + z2)
        low = 0.0 if self.hits == 0 else middle - half
        high = 1.0 if misses == 0 else middle + half
        return low, high


@dataclass(frozen=True)
class Difference:
    """How one model's accuracy differs from a reference's on the same images.

    Attributes:
        gained: images that only the model has right.
        lost: images that only the reference has right.
        total: all images, at least one.
    """

    gained: int
    lost: int
    total: int

    @property
    def value(self) -> float:
        """The model's accuracy less the reference's, as a fraction."""
        return (self.gained - self.lost) / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval for matched pairs: half an image is added to each kind of outcome.

        A. Agresti, Y. Min: Simple improved confidence intervals for comparing matched
        proportions, 2005.
        """
        gained, lost, total = self.gained + 0.5, self.lost + 0.5, self.total + 2
        middle = (gained - lost) / total
        half = Z95 * math.sqrt(gained + lost - (gained - lost) ** 2 / total) / total
        return max(-1.0, middle - half), min(1.0, middle + half)

    @property
    def p_value(self) -> float:
        """McNemar's exact test: how likely so uneven a split is, if neither is better.

        Q. McNemar: Note on the sampling error of the difference between correlated proportions or
        percentages, 1947; exact, as a two-sided binomial test.
        """
        from scipy.stats import binomtest

        changed = self.gained + self.lost
        return float(binomtest(self.gained, changed).pvalue) if changed else 1.0


def proportion(hits: NDArray[np.bool_]) -> Proportion:
    """Count the hits.

    Args:
        hits: bool ``(n,)``, n at least 1.
    """
    return Proportion(int(np.count_nonzero(hits)), len(hits))


def difference(
    labels: NDArray[np.int64], reference: NDArray[np.int64], answers: NDArray[np.int64]
) -> Difference:
    """Compare two models' answers image by image.

    Args:
        labels: int64 ``(n,)``, the truth.
        reference: int64 ``(n,)``, what the reference answered.
        answers: int64 ``(n,)``, what the model answered.
    """
    before, after = reference == labels, answers == labels
    return Difference(
        gained=int(np.count_nonzero(after & ~before)),
        lost=int(np.count_nonzero(before & ~after)),
        total=len(labels),
    )


def confusion(
    labels: NDArray[np.int64], answers: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """Count each pair of truth and answer.

    Args:
        labels: int64 ``(n,)``, values 0 to ``classes - 1``.
        answers: likewise.
        classes: how many there are.

    Returns:
        int64 ``(classes, classes)``; rows are the truth, columns the answer.
    """
    counts = np.bincount(labels * classes + answers, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def per_class(matrix: NDArray[np.int64]) -> tuple[Proportion | None, ...]:
    """The share of each class's images that got its label; None for a class without images.

    Args:
        matrix: int64 ``(classes, classes)`` from `confusion`.
    """
    pairs = zip(matrix.diagonal().tolist(), matrix.sum(axis=1).tolist(), strict=True)
    return tuple(Proportion(hits, total) if total else None for hits, total in pairs)


def log_losses(true_scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The negative natural logarithm of each true label's probability: float64 ``(n,)``.

    Args:
        true_scores: float64 ``(n,)``, values 0 to 1; those below `LEAST_PROBABILITY` count as that.
    """
    losses: NDArray[np.float64] = -np.log(np.maximum(true_scores, LEAST_PROBABILITY))
    return losses


def log_loss(true_scores: NDArray[np.float64]) -> float:
    """The mean of `log_losses`, of at least one."""
    return float(log_losses(true_scores).mean())


def miscalibration(scores: NDArray[np.float64], hits: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What each image adds to the calibration error: float64 ``(n,)``.

    How far its score is from its hit; against the error where its bin errs the other way.

    Args:
        scores: see `calibration_error`.
        hits: likewise.
    """
    bins = np.minimum((np.nan_to_num(scores) * _BINS).astype(np.int64), _BINS - 1)
    excess = scores - hits
    signs: NDArray[np.float64] = np.sign(np.bincount(bins, weights=excess, minlength=_BINS))[bins]
    return signs * excess


def calibration_error(scores: NDArray[np.float64], hits: NDArray[np.bool_]) -> float:
    """How far scores are from the share of answers that are right: the expected calibration error.

    M. P. Naeini, G. F. Cooper, M. Hauskrecht: Obtaining well calibrated probabilities using
    Bayesian binning, 2015; with 15 bins of equal width, as C. Guo et al.: On calibration of modern
    neural networks, 2017.

    Args:
        scores: float64 ``(n,)``, the probability of each answer, 0 to 1; n at least 1.
        hits: bool ``(n,)``, whether the answer is right.

    Returns:
        0 to 1.
    """
    return float(miscalibration(scores, hits).mean())
