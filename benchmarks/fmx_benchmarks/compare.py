"""What changed between two results, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from fmx_benchmarks import accuracy as accuracies
from fmx_benchmarks.analysis import Analysis, speedups
from fmx_benchmarks.estimate import Estimate, ratio_of
from fmx_benchmarks.table import title

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fmx_runtime.bench.record import Result, Run, Variant

__all__ = ["METRICS", "Change", "Comparison", "Metric", "compare"]

_Z95 = 1.959963984540054
"""Of the normal distribution, 95 % lie within so many standard deviations."""


@dataclass(frozen=True)
class Metric:
    """What can change.

    Attributes:
        unit: of a change: ``%`` of the old value, or ``points`` of percent.
        meaning: of the metric, in a few words.
        timed: whether it is comparable on equal machines alone.
    """

    unit: Literal["%", "points"]
    meaning: str
    timed: bool


METRICS = {
    "accuracy": Metric("points", "pictures that got their true label", timed=False),
    "agreement": Metric("points", "pictures that got the reference's label", timed=False),
    "log_loss": Metric("%", "mean negative logarithm of the true label's score", timed=False),
    "calibration_error": Metric("points", "expected calibration error", timed=False),
    "latency_p50": Metric("%", "median time of a single picture", timed=True),
    "latency_p90": Metric("%", "nine of ten single pictures took no longer", timed=True),
    "latency_p99": Metric("%", "99 of 100 single pictures took no longer", timed=True),
    "throughput": Metric("%", "pictures a second, in batches, on one thread", timed=True),
    "start": Metric("%", "from the start of a process to its first answer", timed=True),
    "memory": Metric("%", "peak up to the first answer", timed=True),
    "size": Metric("%", "of the file", timed=False),
    "speedup": Metric("%", "speed against the float32 file of the same format", timed=True),
}


@dataclass(frozen=True)
class Change:
    """One metric of one model.

    Attributes:
        model: its kind, and the device's name where it is not this machine.
        metric: a key of `METRICS`.
        old: the value before: percent, microseconds, seconds, bytes or a ratio.
        new: the value now.
        change: in the metric's unit, with its 95 % interval.
    """

    model: str
    metric: str
    old: float
    new: float
    change: Estimate

    @property
    def is_real(self) -> bool:
        """Whether it is beyond noise: no change lies outside the interval."""
        return self.change.is_beyond(0)


@dataclass(frozen=True)
class Comparison:
    """All changes.

    Attributes:
        changes: of each model that both results have.
        gone: models that the new result has not.
        added: models that the old result has not.
        incomparable: why times cannot be compared, a sentence for each machine whose cannot.
    """

    changes: tuple[Change, ...]
    gone: tuple[str, ...]
    added: tuple[str, ...]
    incomparable: tuple[str, ...]


def compare(old: Result, new: Result) -> Comparison:
    """Compare two results, model by model: those of one machine, format and precision.

    Accuracies on the same pictures are compared picture by picture; times, rates and memory by
    drawing the rounds of both runs again, see `fmx_benchmarks.estimate`. Each round was a fresh
    process, so that what differs from process to process is in the interval.
    """
    before, after = _models(old), _models(new)
    common = [key for key in after if key in before]
    reasons = {
        places: reason
        for places in dict.fromkeys(key[0] for key in common)
        if (reason := _other_machine(_run(old, places), _run(new, places)))
    }
    changes = [
        change
        for key in common
        for change in _changes(_name(key, after[key][1]), before[key], after[key])
        if not (METRICS[change.metric].timed and key[0] in reasons)
    ]
    return Comparison(
        changes=tuple(changes),
        gone=tuple(_name(key, before[key][1]) for key in before if key not in after),
        added=tuple(_name(key, after[key][1]) for key in after if key not in before),
        incomparable=tuple(reasons.values()),
    )


_Key = tuple[str, str, str]
_Found = tuple[Analysis, "Variant"]


def _models(result: Result) -> dict[_Key, _Found]:
    return {
        (run.place, variant.format, variant.precision): (Analysis(result, run), variant)
        for run in result.runs
        for variant in run.variants
    }


def _name(key: _Key, variant: Variant) -> str:
    return title(variant) if key[0] == "here" else f"{title(variant)} on {key[0]}"


def _run(result: Result, place: str) -> Run:
    return next(run for run in result.runs if run.place == place)


def _other_machine(old: Run, new: Run) -> str | None:
    """Why the times of two runs are not comparable, None where they are."""
    facts = {
        "board": (old.machine.board, new.machine.board),
        "processor": (old.machine.processor, new.machine.processor),
        "architecture": (old.machine.architecture, new.machine.architecture),
        "number of cores": (old.machine.cores, new.machine.cores),
        "governor": (old.machine.governor, new.machine.governor),
        "pinning": (old.settings.core is None, new.settings.core is None),
    }
    differing = [
        f"{name} {before} and {after}" for name, (before, after) in facts.items() if before != after
    ]
    if not differing:
        return None
    place = "" if new.place == "here" else f" on {new.place}"
    return f"times{place} are not compared: {', '.join(differing)}"


def _changes(name: str, old: _Found, new: _Found) -> list[Change]:
    (before, was), (after, now) = old, new
    olds, news = _values(before, was), _values(after, now)
    found = []
    for metric in METRICS:
        first, second = olds[metric], news[metric]
        if first and second:  # a rate may be missing, an error 0
            change = _change(metric, old, new, (first, second))
            found.append(Change(name, metric, first, second, change))
    return found


def _values(analysis: Analysis, variant: Variant) -> dict[str, float | None]:
    baseline = analysis.baseline(variant)
    faster = None
    if baseline is not None and baseline is not variant:
        faster = analysis.speedup(variant, baseline).value
    return {
        "accuracy": 100 * analysis.accuracy(variant).value,
        "agreement": 100 * analysis.agreement(variant).value,
        "log_loss": analysis.log_loss(variant),
        "calibration_error": 100 * analysis.calibration_error(variant),
        **{f"latency_p{p}": analysis.latency_us(variant, p) for p in (50, 90, 99)},
        "throughput": analysis.pictures_per_s(variant),
        "start": analysis.start_s(variant),
        "memory": analysis.peak_bytes(variant),
        "size": float(variant.size_bytes),
        "speedup": faster,
    }


def _change(metric: str, old: _Found, new: _Found, values: tuple[float, float]) -> Estimate:
    if metric in {"accuracy", "agreement", "log_loss", "calibration_error"}:
        return _change_of_answers(metric, old, new, values)
    if metric == "size":
        exact = 100 * (values[1] / values[0] - 1)
        return Estimate(exact, exact, exact)
    before, after = (_per_round(metric, *side) for side in (old, new))
    ratio = ratio_of(after, before)
    return Estimate(*(100 * (one - 1) for one in (ratio.value, ratio.low, ratio.high)))


def _per_round(metric: str, analysis: Analysis, variant: Variant) -> Sequence[float]:
    """One value from each round; the bootstrap's unit."""
    if metric == "throughput":
        batch = max(analysis.run.settings.batches)
        found = (one for one in variant.throughputs if (one.batch, one.threads) == (batch, 1))
        return next(found).rates
    if metric == "speedup":
        baseline = analysis.baseline(variant)
        assert baseline is not None  # noqa: S101 (or else there was no value)
        return speedups(variant, baseline)
    if metric == "start":
        return [one.start_s for one in variant.rounds]
    if metric == "memory":
        return [one.peak_bytes for one in variant.rounds]
    percent = float(metric.removeprefix("latency_p"))
    return [float(np.percentile(one.calls_us, percent)) for one in variant.rounds]


def _change_of_answers(
    metric: str, old: _Found, new: _Found, values: tuple[float, float]
) -> Estimate:
    """Of what the pictures' answers say: matched where both results are of the same pictures."""
    before, after = _scores(metric, *old), _scores(metric, *new)
    same = old[0].result.pictures_sha256 == new[0].result.pictures_sha256
    if metric in {"accuracy", "agreement"} and same:
        gained = accuracies.Difference(
            gained=int(np.count_nonzero((after > 0) & (before == 0))),
            lost=int(np.count_nonzero((after == 0) & (before > 0))),
            total=len(after),
        )
        return Estimate(*(100 * one for one in (gained.value, *gained.interval)))
    # in points, or in percent of the old value
    unit = 100 / values[0] if metric == "log_loss" else 1
    # the standard error of a mean, of the paired differences where the pictures are the same
    variance = (
        (after - before).var() if same else before.var() + after.var() * len(before) / len(after)
    )
    half = _Z95 * (float(variance) / len(before)) ** 0.5 * (unit if metric == "log_loss" else 100)
    change = (values[1] - values[0]) * unit
    return Estimate(change, change - half, change + half)


def _scores(metric: str, analysis: Analysis, variant: Variant) -> NDArray[np.float64]:
    """One number for each picture, whose mean is the metric, or nearly: float64 ``(n,)``."""
    answers = np.array(variant.answers)
    hits: NDArray[np.float64] = (answers == analysis.truth).astype(np.float64)
    if metric == "agreement":
        hits = (answers == np.array(analysis.reference.answers)).astype(np.float64)
    elif metric == "log_loss":
        floor = accuracies.LEAST_PROBABILITY
        return -np.log(np.maximum(np.array(variant.true_scores, np.float64), floor))
    elif metric == "calibration_error":  # how far each answer's score is off
        return np.array(variant.scores, np.float64) - hits
    return hits
