"""What the raw samples of a run say: statistics, computed when they are asked for."""

from __future__ import annotations

import functools
import statistics
from typing import TYPE_CHECKING

import numpy as np

from fmx_benchmarks.statistics import accuracy as accuracies
from fmx_benchmarks.statistics.estimate import Estimate, median_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fmx_runtime.bench.result import Result, Run, Variant

__all__ = ["Analysis", "medians_us", "rates", "speedups"]


class Analysis:
    """The statistics of one machine's run.

    Attributes:
        result: what the run is part of.
        run: the run.
        variants: its models, in the order of the reports.
    """

    def __init__(self, result: Result, run: Run) -> None:
        """Nothing is computed yet.

        Args:
            result: what the run is part of.
            run: one of its runs.
        """
        self.result, self.run, self.variants = result, run, run.variants

    @functools.cached_property
    def truth(self) -> NDArray[np.int64]:
        """The labels as int64 ``(n,)``."""
        return np.array(self.result.labels, dtype=np.int64)

    @property
    def reference(self) -> Variant:
        """What answers are compared with: the Keras model, or else a float file, or the first."""
        floats = [one for one in self.variants if one.precision == "float32"]
        return next((one for one in floats if one.format == "keras"), (floats or self.variants)[0])

    def baseline(self, variant: Variant) -> Variant | None:
        """What times and sizes are compared with: the float file of the same format, if any."""
        same = (one for one in self.variants if one.format == variant.format != "keras")
        return next((one for one in same if one.precision == "float32"), None)

    def accuracy(self, variant: Variant) -> accuracies.Proportion:
        """The share of images that got their true label."""
        return accuracies.proportion(_answers(variant) == self.truth)

    def agreement(self, variant: Variant) -> accuracies.Proportion:
        """The share of images that got the reference's label."""
        return accuracies.proportion(_answers(variant) == _answers(self.reference))

    def difference(self, variant: Variant) -> accuracies.Difference:
        """The variant's accuracy against the reference's."""
        return accuracies.difference(self.truth, _answers(self.reference), _answers(variant))

    def confusion(self, variant: Variant) -> NDArray[np.int64]:
        """int64 ``(classes, classes)``; rows are the truth, columns the answer."""
        return accuracies.confusion(self.truth, _answers(variant), len(self.result.class_names))

    def disagreements(self, variant: Variant) -> NDArray[np.int64]:
        """The images that the reference answers otherwise: int64 ``(m,)``, rising."""
        return np.flatnonzero(_answers(variant) != _answers(self.reference))

    def log_loss(self, variant: Variant) -> float:
        """See `accuracy.log_loss`."""
        return accuracies.log_loss(np.array(variant.true_scores))

    def calibration_error(self, variant: Variant) -> float:
        """See `accuracy.calibration_error`."""
        return accuracies.calibration_error(
            np.array(variant.scores), _answers(variant) == self.truth
        )

    def latency_us(self, variant: Variant, percent: float) -> float:
        """The time that ``percent`` of all single calls stayed below, in microseconds."""
        calls = np.concatenate([one.latencies_us for one in variant.rounds])
        return float(np.percentile(calls, percent))

    def speedup(self, variant: Variant, baseline: Variant) -> Estimate:
        """How many times as fast as ``baseline`` single images are answered.

        The median over the rounds of the ratio of the two medians in one round.
        """
        return median_of(speedups(variant, baseline))

    def throughput(self, variant: Variant, batch: int, threads: int) -> float | None:
        """Images per second: the median repetition, None where that was not measured."""
        found = rates(variant, batch, threads)
        return statistics.median(found) if found else None

    def images_per_s(self, variant: Variant) -> float | None:
        """Images per second, handed over in the largest batch, on one thread."""
        return self.throughput(variant, max(self.run.settings.batches), 1)

    def start_s(self, variant: Variant) -> float:
        """Seconds from the start of a process to its first answer: median."""
        return statistics.median(one.start_s for one in variant.rounds)

    def peak_bytes(self, variant: Variant) -> float:
        """The most memory that a process held up to its first answer: median."""
        return statistics.median(one.peak_bytes for one in variant.rounds)

    def macs_per_s(self, variant: Variant) -> float | None:
        """Multiply-accumulates per second of single images, in the median call."""
        return variant.macs and variant.macs / self.latency_us(variant, 50) * 1e6

    def peak_share(self, variant: Variant) -> float | None:
        """`macs_per_s` as a share of what one core can do.

        That is measured, for float: the fastest product of two matrices that NumPy does here, which
        kernels for wider instructions than NumPy's can surpass; for int8 it is that times
        `Machine.int8_factor`.
        """
        rate, peak = self.macs_per_s(variant), self.run.machine.sgemm_gmacs
        if rate is None or peak is None:
            return None
        factor = self.run.machine.int8_factor if variant.precision == "int8" else 1
        return rate / (peak * 1e9 * factor)


def medians_us(variant: Variant) -> tuple[float, ...]:
    """The median single call of each round, in microseconds."""
    return tuple(statistics.median(one.latencies_us) for one in variant.rounds)


def rates(variant: Variant, batch: int, threads: int) -> tuple[float, ...]:
    """Images per second, once for each repetition; none where that was not measured."""
    fitting = (one for one in variant.throughputs if (one.batch, one.threads) == (batch, threads))
    return next((one.rates for one in fitting), ())


def speedups(variant: Variant, baseline: Variant) -> Sequence[float]:
    """How many times as fast as ``baseline``, once for each round that both took part in.

    Both were measured in the same round, so whatever slowed the machine then slowed both.
    """
    pairs = zip(medians_us(baseline), medians_us(variant), strict=False)
    return [slow / fast for slow, fast in pairs]


def _answers(variant: Variant) -> NDArray[np.int64]:
    return np.array(variant.answers, dtype=np.int64)
