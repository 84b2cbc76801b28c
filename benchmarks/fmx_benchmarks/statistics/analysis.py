"""The statistics of one machine's run, computed from the raw samples on demand."""

from __future__ import annotations

import functools
import statistics
from typing import TYPE_CHECKING

import numpy as np

from fmx_benchmarks.statistics import accuracy as metrics
from fmx_benchmarks.statistics.confidence_intervals import Estimate, median_estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fmx_runtime.bench.result import Result, Run, Variant

__all__ = ["Analysis", "median_latencies_us", "speedups", "throughputs"]


class Analysis:
    """The statistics of one run.

    Attributes:
        result: the result that the run is part of.
        run: the run.
        variants: the run's models, in the order of the reports.
    """

    def __init__(self, result: Result, run: Run) -> None:
        """Store the samples; nothing is computed yet.

        Args:
            result: the result that the run is part of.
            run: one of its runs.
        """
        self.result, self.run, self.variants = result, run, run.variants

    @functools.cached_property
    def labels(self) -> NDArray[np.int64]:
        """The true class of each image: int64 ``(n,)``."""
        return np.array(self.result.labels, dtype=np.int64)

    @property
    def reference(self) -> Variant:
        """The model to compare predictions with: Keras, else a float32 file, else the first."""
        floats = [one for one in self.variants if one.precision == "float32"]
        return next((one for one in floats if one.format == "keras"), (floats or self.variants)[0])

    def baseline(self, variant: Variant) -> Variant | None:
        """Return the float32 file of the same format, which times and sizes are compared with."""
        same = (one for one in self.variants if one.format == variant.format != "keras")
        return next((one for one in same if one.precision == "float32"), None)

    def accuracy(self, variant: Variant) -> metrics.Proportion:
        """Return the share of images that are predicted as their true label."""
        return metrics.proportion(_predictions(variant) == self.labels)

    def agreement(self, variant: Variant) -> metrics.Proportion:
        """Return the share of images that are predicted as the reference predicts them."""
        return metrics.proportion(_predictions(variant) == _predictions(self.reference))

    def difference(self, variant: Variant) -> metrics.Difference:
        """Return the difference between the model's accuracy and the reference's."""
        return metrics.accuracy_difference(
            self.labels, _predictions(self.reference), _predictions(variant)
        )

    def confusion_matrix(self, variant: Variant) -> NDArray[np.int64]:
        """Return the confusion matrix, int64 ``(true classes, predicted classes)``."""
        classes = len(self.result.class_names)
        return metrics.confusion_matrix(self.labels, _predictions(variant), classes)

    def disagreements(self, variant: Variant) -> NDArray[np.int64]:
        """Return the indices of the images with another label than the reference's, ascending."""
        return np.flatnonzero(_predictions(variant) != _predictions(self.reference))

    def log_loss(self, variant: Variant) -> float:
        """Return the mean log loss in nats, see `accuracy.log_loss`."""
        return metrics.log_loss(np.array(variant.true_label_scores))

    def calibration_error(self, variant: Variant) -> float:
        """Return the expected calibration error, see `accuracy.calibration_error`."""
        return metrics.calibration_error(
            np.array(variant.scores), _predictions(variant) == self.labels
        )

    def latency_us(self, variant: Variant, percentile: float) -> float:
        """Return a percentile of all single-image latencies, in microseconds."""
        latencies = np.concatenate([one.latencies_us for one in variant.repeats])
        return float(np.percentile(latencies, percentile))

    def speedup(self, variant: Variant, baseline: Variant) -> Estimate:
        """Return how many times as fast as ``baseline`` single images are predicted.

        It is the median over the repeats of the ratio of the two medians in the same repeat.
        """
        return median_estimate(speedups(variant, baseline))

    def throughput(self, variant: Variant, batch: int, threads: int) -> float | None:
        """Return the median of the repetitions in images/s; None if it was not measured."""
        found = throughputs(variant, batch, threads)
        return statistics.median(found) if found else None

    def max_batch_throughput(self, variant: Variant) -> float | None:
        """Return the throughput at the largest batch size on one thread, in images/s."""
        return self.throughput(variant, max(self.run.settings.batches), 1)

    def first_prediction_s(self, variant: Variant) -> float:
        """Return the median time from the start of a process to its first prediction."""
        return statistics.median(one.first_prediction_s for one in variant.repeats)

    def peak_bytes(self, variant: Variant) -> float:
        """Return the median peak memory of a process up to its first prediction."""
        return statistics.median(one.peak_bytes for one in variant.repeats)

    def macs_per_s(self, variant: Variant) -> float | None:
        """Return multiply-accumulates per second at the median latency; None if not counted."""
        return variant.macs and variant.macs / self.latency_us(variant, 50) * 1e6

    def share_of_peak(self, variant: Variant) -> float | None:
        """Return `macs_per_s` as a share of the peak of one core; None if either is unknown.

        The float32 peak is measured: it is NumPy's fastest matrix product on this machine, which
        kernels for wider instructions than NumPy's can exceed. The int8 peak is that times
        `Machine.int8_factor`.
        """
        macs_per_s, peak = self.macs_per_s(variant), self.run.machine.sgemm_gmacs
        if macs_per_s is None or peak is None:
            return None
        factor = self.run.machine.int8_factor if variant.precision == "int8" else 1
        return macs_per_s / (peak * 1e9 * factor)


def median_latencies_us(variant: Variant) -> tuple[float, ...]:
    """Return the median single-image latency of each repeat, in microseconds."""
    return tuple(statistics.median(one.latencies_us) for one in variant.repeats)


def throughputs(variant: Variant, batch: int, threads: int) -> tuple[float, ...]:
    """Return the images per second of each repetition; empty if not measured."""
    fitting = (one for one in variant.throughputs if (one.batch, one.threads) == (batch, threads))
    return next((one.images_per_second for one in fitting), ())


def speedups(variant: Variant, baseline: Variant) -> Sequence[float]:
    """Return the ratio of both models' median latencies for each repeat that both took part in.

    Both were measured in the same repeat, so whatever slowed the machine then slowed both.
    """
    pairs = zip(median_latencies_us(baseline), median_latencies_us(variant), strict=False)
    return [slow / fast for slow, fast in pairs]


def _predictions(variant: Variant) -> NDArray[np.int64]:
    return np.array(variant.predictions, dtype=np.int64)
