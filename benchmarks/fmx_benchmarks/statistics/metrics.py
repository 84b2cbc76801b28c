"""What can change from one result to the next, and how sure it is that it has."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from fmx_benchmarks.statistics import accuracy as accuracies
from fmx_benchmarks.statistics.analysis import rates, speedups
from fmx_benchmarks.statistics.estimate import Estimate, ratio_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fmx_benchmarks.statistics.accuracy import Proportion
    from fmx_benchmarks.statistics.analysis import Analysis
    from fmx_runtime.bench.result import Variant

__all__ = ["METRICS", "Metric", "Side", "change", "value"]

_FEWEST = 3
_FEW = 5
"""The bootstrap of fewer is too sure of itself: of three, it sees a change in 10 % of all noise."""


@dataclass(frozen=True)
class Metric:
    """What can change.

    Attributes:
        unit: of a change: ``%`` of the old value, ``points`` of percent, or ``nats``.
        samples: what its values are taken from: one number for each image or round, or the file.
        meaning: in a few words.
    """

    unit: Literal["%", "points", "nats"]
    samples: Literal["images", "rounds", "file"]
    meaning: str

    @property
    def timed(self) -> bool:
        """Whether it is comparable on equal machines alone."""
        return self.samples == "rounds"


METRICS = {
    "accuracy": Metric("points", "images", "images that got their true label"),
    "agreement": Metric("points", "images", "images that got the reference's label"),
    "log_loss": Metric("nats", "images", "mean negative logarithm of the true label's score"),
    "calibration_error": Metric("points", "images", "expected calibration error"),
    "latency_p50": Metric("%", "rounds", "median time of a single image"),
    "latency_p90": Metric("%", "rounds", "nine of ten single images took no longer"),
    "latency_p99": Metric("%", "rounds", "99 of 100 single images took no longer"),
    "throughput": Metric("%", "rounds", "images a second, in batches, on one thread"),
    "start": Metric("%", "rounds", "from the start of a process to its first answer"),
    "memory": Metric("%", "rounds", "peak up to the first answer"),
    "size": Metric("%", "file", "of the file"),
    "speedup": Metric("%", "rounds", "speed against the float32 file of the same format"),
}


@dataclass(frozen=True, eq=False)
class Side:
    """A model in one of the two results.

    Attributes:
        analysis: of the run that it took part in.
        variant: the model.
    """

    analysis: Analysis
    variant: Variant


def value(metric: str, side: Side) -> float | None:
    """The mean over the images, or the median over the rounds.

    A round's latency is a percentile of its own calls, so that the median of its p99 can be below
    the p99 of all calls, which reports show.

    Args:
        metric: a key of `METRICS`.
        side: of which model.

    Returns:
        Percent, nats, microseconds, seconds, bytes, images per second or a ratio; None where the
        result has no such figure, or one that is no number.
    """
    numbers = _numbers(metric, side)
    if len(numbers) == 0 or not np.isfinite(numbers).all():
        return None
    if METRICS[metric].samples == "images":
        return float(np.mean(numbers))
    return float(np.median(numbers)) if min(numbers) > 0 else None


def change(metric: str, old: Side, new: Side) -> Estimate:
    """How much a metric changed, in its unit; an interval without bounds is of too few samples.

    Args:
        metric: a key of `METRICS`, of which both sides have a `value`.
        old: the model before.
        new: the model now.
    """
    before, after = _numbers(metric, old), _numbers(metric, new)
    if METRICS[metric].samples == "rounds":
        ratio = _ratio(after, before)
        return Estimate(*(100 * (one - 1) for one in (ratio.value, ratio.low, ratio.high)))
    if METRICS[metric].samples == "file":
        exact = float(100 * (after[0] - before[0]) / before[0])
        return Estimate(exact, exact, exact)
    same = old.analysis.result.images_sha256 == new.analysis.result.images_sha256
    if metric in {"accuracy", "agreement"}:
        return _matched(before, after) if same else _independent(before, after)
    return _mean_difference(before, after, paired=same)


def _numbers(metric: str, side: Side) -> NDArray[np.float64]:
    if METRICS[metric].samples == "images":
        return _of_images(metric, side)
    if METRICS[metric].samples == "file":
        return np.array([side.variant.size_bytes], np.float64)
    return np.array(_of_rounds(metric, side), np.float64)


def _of_images(metric: str, side: Side) -> NDArray[np.float64]:
    """One number for each image, whose mean is the metric: float64 ``(n,)``."""
    answers, truth = np.array(side.variant.answers), side.analysis.truth
    if metric == "agreement":
        return np.where(answers == np.array(side.analysis.reference.answers), 100.0, 0.0)
    if metric == "log_loss":
        return accuracies.log_losses(np.array(side.variant.true_scores, np.float64))
    if metric == "calibration_error":
        scores = np.array(side.variant.scores, np.float64)
        return 100 * accuracies.miscalibration(scores, answers == truth)
    return np.where(answers == truth, 100.0, 0.0)


def _of_rounds(metric: str, side: Side) -> Sequence[float]:
    """One number from each round; each was a fresh process."""
    analysis, variant = side.analysis, side.variant
    if metric == "throughput":
        return rates(variant, max(analysis.run.settings.batches, default=0), 1)
    if metric == "speedup":
        baseline = analysis.baseline(variant)
        return () if baseline is None or baseline is variant else speedups(variant, baseline)
    if metric == "start":
        return [one.start_s for one in variant.rounds]
    if metric == "memory":
        return [one.peak_bytes for one in variant.rounds]
    percent = float(metric.removeprefix("latency_p"))
    return [float(np.percentile(one.latencies_us, percent)) for one in variant.rounds]


def _ratio(new: NDArray[np.float64], old: NDArray[np.float64]) -> Estimate:
    """The median of ``new`` over that of ``old``, exactly the other way round when exchanged."""
    if min(len(new), len(old)) < _FEW:
        return _ratio_of_few(new, old)
    first, second = new.tolist(), old.tolist()
    if first >= second:
        return ratio_of(first, second)
    turned = ratio_of(second, first)
    return Estimate(1 / turned.value, 1 / turned.high, 1 / turned.low)


def _ratio_of_few(new: NDArray[np.float64], old: NDArray[np.float64]) -> Estimate:
    """The same by Student's distribution, of the logarithms.

    B. L. Welch: The generalization of "Student's" problem when several different population
    variances are involved, 1947.
    """
    middle = float(np.median(new) / np.median(old))
    if min(len(new), len(old)) < _FEWEST:
        return Estimate(middle, -math.inf, math.inf)
    if not (np.ptp(new) or np.ptp(old)):
        return Estimate(middle, middle, middle)
    from scipy.stats import ttest_ind

    interval = ttest_ind(np.log(new), np.log(old), equal_var=False).confidence_interval(0.95)
    factor = math.exp(float(interval.high - interval.low) / 2)
    return Estimate(middle, middle / factor, middle * factor)


def _matched(before: NDArray[np.float64], after: NDArray[np.float64]) -> Estimate:
    """Of hits on the same images, in points, see `accuracy.Difference`."""
    gained = int(np.count_nonzero(after > before))
    lost = int(np.count_nonzero(after < before))
    low, high = accuracies.Difference(gained, lost, len(after)).interval
    # rounded once, so that a change that is equal to a limit is not beyond it
    return Estimate(100 * (gained - lost) / len(after), 100 * low, 100 * high)


def _independent(before: NDArray[np.float64], after: NDArray[np.float64]) -> Estimate:
    """Of hits on different images, in points, from both Wilson intervals.

    R. G. Newcombe: Interval estimation for the difference between independent proportions, 1998;
    method 10.
    """
    old, new = _proportion(before), _proportion(after)
    (old_low, old_high), (new_low, new_high) = old.interval, new.interval
    middle = new.value - old.value
    low = middle - math.hypot(new.value - new_low, old_high - old.value)
    high = middle + math.hypot(new_high - new.value, old.value - old_low)
    return Estimate(100 * middle, 100 * low, 100 * high)


def _proportion(hits: NDArray[np.float64]) -> Proportion:
    return accuracies.proportion(hits > 0)


def _mean_difference(
    before: NDArray[np.float64], after: NDArray[np.float64], *, paired: bool
) -> Estimate:
    """Of means over images, with their standard error; paired where they are the same ones."""
    middle = float(after.mean() - before.mean())
    if min(len(before), len(after)) == 1:
        return Estimate(middle, -math.inf, math.inf)
    if paired:
        variance = (after - before).var(ddof=1) / len(after)
    else:
        variance = before.var(ddof=1) / len(before) + after.var(ddof=1) / len(after)
    half = accuracies.Z95 * math.sqrt(variance)
    return Estimate(middle, middle - half, middle + half)
