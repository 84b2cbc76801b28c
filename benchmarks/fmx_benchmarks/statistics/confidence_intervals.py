"""Bootstrap confidence intervals over the repeats of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["MIN_SAMPLES", "Estimate", "median_estimate", "ratio_estimate"]

MIN_SAMPLES = 3
"""With fewer samples an interval is unbounded."""
_RESAMPLES = 4999
_SEED = 0  # equal results give equal intervals


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % confidence interval.

    Attributes:
        value: the figure.
        low: the interval's lower bound; ``-inf`` for too few samples.
        high: the interval's upper bound; ``inf`` for too few samples.
    """

    value: float
    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Return whether a value lies outside the interval."""
        return self.low > value or self.high < value


def median_estimate(values: Sequence[float]) -> Estimate:
    """Return the median with its bootstrap interval.

    B. Efron: Bootstrap methods, 1979; percentile interval with a fixed seed.

    Args:
        values: one value from each repeat, at least one; with fewer than three the interval is
            unbounded.
    """
    return _bootstrap([values], np.median)


def ratio_estimate(new: Sequence[float], old: Sequence[float]) -> Estimate:
    """Return the ratio of two samples' medians with its bootstrap interval.

    Args:
        new: one value from each repeat, at least one, all above 0.
        old: likewise, from another run; the numbers of repeats may differ.

    Returns:
        The median of ``new`` divided by the median of ``old``.
    """
    return _bootstrap([new, old], _ratio_of_medians)


def _ratio_of_medians(new: Any, old: Any, axis: int = -1) -> Any:
    return np.median(new, axis=axis) / np.median(old, axis=axis)


def _bootstrap(samples: Sequence[Sequence[float]], statistic: Callable[..., Any]) -> Estimate:
    arrays = [np.asarray(sample, np.float64) for sample in samples]
    value = float(statistic(*arrays))
    if min(map(len, arrays)) < MIN_SAMPLES:
        return Estimate(value, -math.inf, math.inf)
    if not any(map(np.ptp, arrays)):
        return Estimate(value, value, value)
    from scipy.stats import bootstrap

    interval = bootstrap(
        arrays,
        statistic,
        n_resamples=_RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return Estimate(value, float(interval.low), float(interval.high))
