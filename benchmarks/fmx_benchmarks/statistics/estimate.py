"""Figures and how sure they are: bootstrap intervals over the rounds of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Estimate", "median_of", "ratio_of"]

_FEWEST = 3
_RESAMPLES = 4999
_SEED = 0  # equal results give equal intervals


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; one that nothing is known of spans all numbers."""

    value: float
    low: float
    high: float

    def is_beyond(self, nothing: float) -> bool:
        """Whether the whole interval lies on one side of ``nothing``, where nothing changed."""
        return self.low > nothing or self.high < nothing


def median_of(values: Sequence[float]) -> Estimate:
    """The median of one value from each round, with its bootstrap interval.

    The rounds are drawn again with replacement (B. Efron: Bootstrap methods, 1979; percentile
    interval, a fixed seed). Of fewer than three rounds nothing is known.

    Args:
        values: at least one.
    """
    return _bootstrapped([values], np.median)


def ratio_of(new: Sequence[float], old: Sequence[float]) -> Estimate:
    """How the median of one sample relates to that of another, with its bootstrap interval.

    Args:
        new: one value from each round, at least one, all above 0.
        old: likewise, of another run; their numbers may differ.

    Returns:
        The median of ``new`` over that of ``old``.
    """
    return _bootstrapped([new, old], _ratio_of_medians)


def _ratio_of_medians(new: Any, old: Any, axis: int = -1) -> Any:
    return np.median(new, axis=axis) / np.median(old, axis=axis)


def _bootstrapped(values: Sequence[Sequence[float]], statistic: Callable[..., Any]) -> Estimate:
    samples = [np.asarray(one, np.float64) for one in values]
    found = float(statistic(*samples))
    if min(map(len, samples)) < _FEWEST:
        return Estimate(found, -math.inf, math.inf)
    if not any(map(np.ptp, samples)):
        return Estimate(found, found, found)
    from scipy.stats import bootstrap

    interval = bootstrap(
        samples,
        statistic,
        n_resamples=_RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return Estimate(found, float(interval.low), float(interval.high))
