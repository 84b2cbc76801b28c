"""The metrics that are compared between two results, with confidence intervals of their changes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from fmx_benchmarks.statistics import accuracy
from fmx_benchmarks.statistics.analysis import speedups, throughputs
from fmx_benchmarks.statistics.confidence_intervals import MIN_SAMPLES, Estimate, ratio_estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fmx_benchmarks.statistics.analysis import Analysis
    from fmx_runtime.bench.result import Variant

__all__ = ["METRICS", "Metric", "Side", "change", "value"]

_MIN_BOOTSTRAP_SAMPLES = 5
"""With fewer samples the bootstrap's intervals are too narrow.

With three repeats it calls 10 % of all noise a change.
"""


@dataclass(frozen=True)
class Metric:
    """A metric that can change between two results.

    Attributes:
        unit: the unit of a change: ``%`` of the old value, percentage ``points`` or ``nats``.
        samples: where the metric has one value for each: image, repeat, or the file.
        meaning: a short explanation.
    """

    unit: Literal["%", "points", "nats"]
    samples: Literal["images", "repeats", "file"]
    meaning: str

    @property
    def is_timing(self) -> bool:
        """Whether the metric can be compared on equal machines only."""
        return self.samples == "repeats"


METRICS = {
    "accuracy": Metric("points", "images", "images predicted as their true label"),
    "agreement": Metric("points", "images", "images predicted as the reference predicts them"),
    "log_loss": Metric("nats", "images", "mean negative logarithm of the true label's score"),
    "calibration_error": Metric("points", "images", "expected calibration error (ECE)"),
    "latency_p50": Metric("%", "repeats", "median latency of a single image"),
    "latency_p90": Metric("%", "repeats", "90th percentile of the latency"),
    "latency_p99": Metric("%", "repeats", "99th percentile of the latency"),
    "throughput": Metric("%", "repeats", "images/s at the largest batch size, on one thread"),
    "first_prediction": Metric("%", "repeats", "from the start of a process to a prediction"),
    "memory": Metric("%", "repeats", "peak memory up to the first prediction"),
    "size": Metric("%", "file", "size of the file"),
    "speedup": Metric("%", "repeats", "against the float32 file of the same format"),
}


@dataclass(frozen=True, eq=False)
class Side:
    """A model in one of the two results.

    Attributes:
        analysis: of the run that the model took part in.
        variant: the model.
    """

    analysis: Analysis
    variant: Variant


def value(metric: str, side: Side) -> float | None:
    """Return the mean over the images or the median over the repeats.

    A repeat's latency is a percentile of its own calls, so the median of the repeats' p99 can be
    lower than the p99 of all calls, which reports show.

    Args:
        metric: a key of `METRICS`.
        side: the model.

    Returns:
        Percent, nats, microseconds, seconds, bytes, images/s or a ratio; None if the result has no
        such figure or one that is not a finite number.
    """
    samples = _samples(metric, side)
    if len(samples) == 0 or not np.isfinite(samples).all():
        return None
    if METRICS[metric].samples == "images":
        return float(np.mean(samples))
    return float(np.median(samples)) if min(samples) > 0 else None


def change(metric: str, old: Side, new: Side) -> Estimate:
    """Return how much a metric changed, in its unit; with too few samples without bounds.

    Args:
        metric: a key of `METRICS` that has a `value` on both sides.
        old: the model before.
        new: the model now.
    """
    before, after = _samples(metric, old), _samples(metric, new)
    if METRICS[metric].samples == "repeats":
        ratio = _ratio_of_medians(after, before)
        return Estimate(*(100 * (one - 1) for one in (ratio.value, ratio.low, ratio.high)))
    if METRICS[metric].samples == "file":
        exact = float(100 * (after[0] - before[0]) / before[0])
        return Estimate(exact, exact, exact)
    same_images = old.analysis.result.images_sha256 == new.analysis.result.images_sha256
    if metric in {"accuracy", "agreement"}:
        compare = _paired_proportions if same_images else _independent_proportions
        return compare(before, after)
    return _difference_of_means(before, after, paired=same_images)


def _samples(metric: str, side: Side) -> NDArray[np.float64]:
    if METRICS[metric].samples == "images":
        return _samples_by_image(metric, side)
    if METRICS[metric].samples == "file":
        return np.array([side.variant.size_bytes], np.float64)
    return np.array(_samples_by_repeat(metric, side), np.float64)


def _samples_by_image(metric: str, side: Side) -> NDArray[np.float64]:
    """Return one number for each image, whose mean is the metric: float64 ``(n,)``."""
    predictions, labels = np.array(side.variant.predictions), side.analysis.labels
    if metric == "agreement":
        reference = np.array(side.analysis.reference.predictions)
        return np.where(predictions == reference, 100.0, 0.0)
    if metric == "log_loss":
        return accuracy.log_losses(np.array(side.variant.true_label_scores, np.float64))
    if metric == "calibration_error":
        scores = np.array(side.variant.scores, np.float64)
        return 100 * accuracy.calibration_errors(scores, predictions == labels)
    return np.where(predictions == labels, 100.0, 0.0)


def _samples_by_repeat(metric: str, side: Side) -> Sequence[float]:
    """Return one number for each repeat; each was measured in a fresh process."""
    analysis, variant = side.analysis, side.variant
    if metric == "throughput":
        return throughputs(variant, max(analysis.run.settings.batches, default=0), 1)
    if metric == "speedup":
        baseline = analysis.baseline(variant)
        return () if baseline is None or baseline is variant else speedups(variant, baseline)
    if metric == "first_prediction":
        return [one.first_prediction_s for one in variant.repeats]
    if metric == "memory":
        return [one.peak_bytes for one in variant.repeats]
    percentile = float(metric.removeprefix("latency_p"))
    return [float(np.percentile(one.latencies_us, percentile)) for one in variant.repeats]


def _ratio_of_medians(new: NDArray[np.float64], old: NDArray[np.float64]) -> Estimate:
    """Return new / old; exchanging the arguments gives exactly the inverse."""
    if min(len(new), len(old)) < _MIN_BOOTSTRAP_SAMPLES:
        return _ratio_of_few(new, old)
    first, second = new.tolist(), old.tolist()
    if first >= second:
        return ratio_estimate(first, second)
    inverse = ratio_estimate(second, first)
    return Estimate(1 / inverse.value, 1 / inverse.high, 1 / inverse.low)


def _ratio_of_few(new: NDArray[np.float64], old: NDArray[np.float64]) -> Estimate:
    """Return the ratio of the medians with the interval of Welch's t-test of the logarithms.

    B. L. Welch: The generalization of "Student's" problem when several different population
    variances are involved, 1947.
    """
    center = float(np.median(new) / np.median(old))
    if min(len(new), len(old)) < MIN_SAMPLES:
        return Estimate(center, -math.inf, math.inf)
    if not (np.ptp(new) or np.ptp(old)):
        return Estimate(center, center, center)
    from scipy.stats import ttest_ind

    interval = ttest_ind(np.log(new), np.log(old), equal_var=False).confidence_interval(0.95)
    factor = math.exp(float(interval.high - interval.low) / 2)
    return Estimate(center, center / factor, center * factor)


def _paired_proportions(before: NDArray[np.float64], after: NDArray[np.float64]) -> Estimate:
    """Compare hits on the same images, in points, see `accuracy.Difference`."""
    gained = int(np.count_nonzero(after > before))
    lost = int(np.count_nonzero(after < before))
    low, high = accuracy.Difference(gained, lost, len(after)).interval
    # rounded once, so that a change that is equal to a limit is not beyond it
    return Estimate(100 * (gained - lost) / len(after), 100 * low, 100 * high)


def _independent_proportions(before: NDArray[np.float64], after: NDArray[np.float64]) -> Estimate:
    """Compare hits on different images, in points, from both Wilson intervals.

    R. G. Newcombe: Interval estimation for the difference between independent proportions, 1998;
    method 10.
    """
    old, new = accuracy.proportion(before > 0), accuracy.proportion(after > 0)
    (old_low, old_high), (new_low, new_high) = old.interval, new.interval
    center = new.value - old.value
    low = center - math.hypot(new.value - new_low, old_high - old.value)
    high = center + math.hypot(new_high - new.value, old.value - old_low)
    return Estimate(100 * center, 100 * low, 100 * high)


def _difference_of_means(
    before: NDArray[np.float64], after: NDArray[np.float64], *, paired: bool
) -> Estimate:
    """Compare means over images by their standard error, paired for the same images."""
    center = float(after.mean() - before.mean())
    if min(len(before), len(after)) == 1:
        return Estimate(center, -math.inf, math.inf)
    if paired:
        variance = (after - before).var(ddof=1) / len(after)
    else:
        variance = before.var(ddof=1) / len(before) + after.var(ddof=1) / len(after)
    half_width = accuracy.Z95 * math.sqrt(variance)
    return Estimate(center, center - half_width, center + half_width)
