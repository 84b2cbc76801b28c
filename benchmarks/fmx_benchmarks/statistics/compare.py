"""Compare two results: what changed, and what cannot be compared."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmx_benchmarks.statistics.analysis import Analysis
from fmx_benchmarks.statistics.display_names import describe_failures, model_kind, on_device
from fmx_benchmarks.statistics.metrics import METRICS, Side, change, value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmx_benchmarks.statistics.confidence_intervals import Estimate
    from fmx_runtime.bench.result import Result, Run

__all__ = ["Change", "Comparison", "Unknown", "compare"]


@dataclass(frozen=True)
class Change:
    """The change of one metric of one model.

    Attributes:
        model: the model's kind, with the device's name if it is not local.
        metric: a key of `METRICS`.
        old: the old value: percent, nats, microseconds, seconds, bytes, images/s or a ratio.
        new: the new value.
        change: in the metric's unit, with its 95 % interval.
    """

    model: str
    metric: str
    old: float
    new: float
    change: Estimate

    @property
    def is_significant(self) -> bool:
        """Whether the change is beyond noise: its interval does not contain 0."""
        return self.change.excludes(0)


@dataclass(frozen=True)
class Unknown:
    """A metric of one model that cannot be compared, and the reason in a sentence."""

    model: str
    metric: str
    reason: str


@dataclass(frozen=True)
class Comparison:
    """The comparison of two results.

    Attributes:
        changes: of the models that both results have.
        unknown: metrics of the old or the new result that cannot be compared.
        added: models that only the new result has.
        failures: failures that only the new result has, a sentence each.
        same_images: whether predictions were compared image by image.
    """

    changes: tuple[Change, ...]
    unknown: tuple[Unknown, ...]
    added: tuple[str, ...]
    failures: tuple[str, ...]
    same_images: bool


def compare(old: Result, new: Result) -> Comparison:
    """Compare two results model by model.

    Models are matched by machine, format and precision; where a result has several files of one
    kind, their names tell them apart.

    Args:
        old: the result to compare with.
        new: the result that may have changed.
    """
    ambiguous = {kind for result in (old, new) for kind, n in _kinds(result).items() if n > 1}
    before, after = _models(old, ambiguous), _models(new, ambiguous)
    compared = [
        one for name in before if name in after for one in _compare(name, before[name], after[name])
    ]
    removed = [
        Unknown(name, metric, f"{name} is not in the new result")
        for name in before
        if name not in after
        for metric in METRICS
    ]
    known_failures = describe_failures(old)
    return Comparison(
        changes=tuple(one for one in compared if isinstance(one, Change)),
        unknown=(*removed, *(one for one in compared if isinstance(one, Unknown))),
        added=tuple(name for name in after if name not in before),
        failures=tuple(one for one in describe_failures(new) if one not in known_failures),
        same_images=old.images_sha256 == new.images_sha256,
    )


def _kinds(result: Result) -> Counter[str]:
    return Counter(
        model_kind(variant) + on_device(run) for run in result.runs for variant in run.variants
    )


def _models(result: Result, ambiguous: set[str]) -> dict[str, Side]:
    """Return a result's models by their names in comparisons."""
    models: dict[str, Side] = {}
    uses: Counter[str] = Counter()
    for run in result.runs:
        for variant in run.variants:
            name = model_kind(variant) + on_device(run)
            if name in ambiguous:
                name += f" {variant.name}"
            uses[name] += 1
            if uses[name] > 1:
                name += f" #{uses[name]}"
            models[name] = Side(Analysis(result, run), variant)
    return models


def _compare(name: str, old: Side, new: Side) -> Iterator[Change | Unknown]:
    for metric in METRICS:
        before, after = value(metric, old), value(metric, new)
        if before is None and after is None:
            continue  # for example the speed-up of a float file
        reason = _incomparable_reason(metric, old, new)
        if reason is not None:
            yield Unknown(name, metric, reason)
        elif before is None or after is None:
            which = "old" if before is None else "new"
            yield Unknown(name, metric, f"the {which} result has no {metric} of {name}")
        else:
            yield Change(name, metric, before, after, change(metric, old, new))


def _incomparable_reason(metric: str, old: Side, new: Side) -> str | None:
    """Return why two values are not comparable; None if they are."""
    if METRICS[metric].is_timing and (differing := _machine_differences(old, new)):
        return f"times{on_device(new.analysis.run)} are not compared: {differing}"
    batches = [max(side.analysis.run.settings.batches, default=0) for side in (old, new)]
    if metric == "throughput" and batches[0] != batches[1]:
        return f"throughput is not compared: batches of {batches[0]}, now of {batches[1]}"
    references = [model_kind(side.analysis.reference) for side in (old, new)]
    if metric == "agreement" and references[0] != references[1]:
        return f"agreement is not compared: it was with {references[0]}, now {references[1]}"
    return None


def _machine_differences(old: Side, new: Side) -> str:
    """Return how the two machines differ; nothing if their times can be compared."""
    before, after = _timing_conditions(old.analysis.run), _timing_conditions(new.analysis.run)
    return "; ".join(
        f"{name} {was}, now {after[name]}" for name, was in before.items() if was != after[name]
    )


def _timing_conditions(run: Run) -> dict[str, str]:
    """Return what all times depend on."""
    return {
        "processor": run.machine.processor,
        "architecture": run.machine.architecture,
        "cores": str(run.machine.cores),
        "board": run.machine.board or "unknown",
        "governor": run.machine.governor or "unknown",
        "bound to one core": "no" if run.settings.core is None else "yes",
    }
