"""What changed between two results, and what of it cannot be told."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmx_benchmarks.report.table import failures, kind
from fmx_benchmarks.statistics.analysis import Analysis
from fmx_benchmarks.statistics.metrics import METRICS, Side, change, value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmx_benchmarks.statistics.estimate import Estimate
    from fmx_runtime.bench.result import Result, Run, Variant

__all__ = ["Change", "Comparison", "Unknown", "compare"]


@dataclass(frozen=True)
class Change:
    """One metric of one model.

    Attributes:
        model: its kind, and the device's name where it is not this machine.
        metric: a key of `METRICS`.
        old: the value before: percent, nats, microseconds, seconds, bytes or a ratio.
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
class Unknown:
    """One metric of one model whose change cannot be told, and why, in a sentence."""

    model: str
    metric: str
    reason: str


@dataclass(frozen=True)
class Comparison:
    """All that two results say of each other.

    Attributes:
        changes: of the models that both results have.
        unknown: what the old result or the new one has, and cannot be compared.
        added: models that the old result has not.
        failures: that the old result has not, a sentence each.
        same_images: whether answers were compared image by image.
    """

    changes: tuple[Change, ...]
    unknown: tuple[Unknown, ...]
    added: tuple[str, ...]
    failures: tuple[str, ...]
    same_images: bool


def compare(old: Result, new: Result) -> Comparison:
    """Compare two results, model by model: those of one machine, format and precision.

    Where a result has several files of one kind, their names tell them apart.
    """
    doubles = {kind for result in (old, new) for kind, n in _kinds(result).items() if n > 1}
    before, after = _models(old, doubles), _models(new, doubles)
    found = [
        one for name in before if name in after for one in _changes(name, before[name], after[name])
    ]
    gone = [
        Unknown(name, metric, f"{name} is not in the new result")
        for name in before
        if name not in after
        for metric in METRICS
    ]
    known = failures(old)
    return Comparison(
        changes=tuple(one for one in found if isinstance(one, Change)),
        unknown=(*gone, *(one for one in found if isinstance(one, Unknown))),
        added=tuple(name for name in after if name not in before),
        failures=tuple(sentence for sentence in failures(new) if sentence not in known),
        same_images=old.images_sha256 == new.images_sha256,
    )


def _kinds(result: Result) -> Counter[str]:
    return Counter(_kind(run, variant) for run in result.runs for variant in run.variants)


def _models(result: Result, doubles: set[str]) -> dict[str, Side]:
    """The models of a result by what they are called in comparisons."""
    found: dict[str, Side] = {}
    times: Counter[str] = Counter()
    for run in result.runs:
        for variant in run.variants:
            name = _kind(run, variant)
            if name in doubles:
                name += f" {variant.name}"
            times[name] += 1
            if times[name] > 1:
                name += f" #{times[name]}"
            found[name] = Side(Analysis(result, run), variant)
    return found


def _kind(run: Run, variant: Variant) -> str:
    return kind(variant) + _on(run.place)


def _on(place: str) -> str:
    return "" if place == "here" else f" on {place}"


def _changes(name: str, old: Side, new: Side) -> Iterator[Change | Unknown]:
    for metric in METRICS:
        before, after = value(metric, old), value(metric, new)
        if before is None and after is None:
            continue  # a float file is not faster than itself
        reason = _obstacle(metric, old, new)
        if reason is not None:
            yield Unknown(name, metric, reason)
        elif before is None or after is None:
            which = "old" if before is None else "new"
            yield Unknown(name, metric, f"the {which} result has no {metric} of {name}")
        else:
            yield Change(name, metric, before, after, change(metric, old, new))


def _obstacle(metric: str, old: Side, new: Side) -> str | None:
    """Why two values do not mean the same, None where they do."""
    if METRICS[metric].timed and (differing := _other_machine(old, new)):
        place = _on(new.analysis.run.place)
        return f"times{place} are not compared: {differing}"
    batches = [max(side.analysis.run.settings.batches, default=0) for side in (old, new)]
    if metric == "throughput" and batches[0] != batches[1]:
        return f"throughput is not compared: batches of {batches[0]}, now of {batches[1]}"
    references = [kind(side.analysis.reference) for side in (old, new)]
    if metric == "agreement" and references[0] != references[1]:
        return f"agreement is not compared: it was with {references[0]}, now {references[1]}"
    return None


def _other_machine(old: Side, new: Side) -> str:
    """What tells the two machines apart, nothing where they are alike."""
    before, after = _facts(old.analysis.run), _facts(new.analysis.run)
    return "; ".join(
        f"{name} {was}, now {after[name]}" for name, was in before.items() if was != after[name]
    )


def _facts(run: Run) -> dict[str, str]:
    """What times depend on, whatever is measured."""
    return {
        "processor": run.machine.processor,
        "architecture": run.machine.architecture,
        "cores": str(run.machine.cores),
        "board": run.machine.board or "unknown",
        "governor": run.machine.governor or "unknown",
        "bound to one core": "no" if run.settings.core is None else "yes",
    }
