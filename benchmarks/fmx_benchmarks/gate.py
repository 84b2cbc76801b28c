"""Limits for changes, as CI wants them: ``latency_p50 > +10%``, ``int8: accuracy < -0.2``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fmx_benchmarks.compare import METRICS
from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from fmx_benchmarks.compare import Change, Comparison

__all__ = ["Gate", "failing", "parse", "unjudged"]

_FORM = re.compile(r"(?:(?P<model>[^:]+):)?\s*(\w+)\s*([<>])\s*([+-]?\d+(?:\.\d+)?)\s*(%?)")


@dataclass(frozen=True)
class Gate:
    """One limit.

    Attributes:
        text: as it was written.
        model: words of the models that it is for, such as ``TFLite int8``; none means all.
        metric: a key of `METRICS`.
        side: which changes are beyond the limit.
        limit: in the metric's unit.
    """

    text: str
    model: str
    metric: str
    side: Literal["<", ">"]
    limit: float

    def is_for(self, model: str) -> bool:
        """Whether a model, as `Change.model` calls it, has all of the words."""
        return set(self.model.lower().split()) <= set(model.lower().split())

    def is_broken_by(self, change: Change) -> bool:
        """Whether a change is beyond the limit, and beyond noise."""
        if not (change.metric == self.metric and self.is_for(change.model) and change.is_real):
            return False
        value = change.change.value
        return value > self.limit if self.side == ">" else value < self.limit


def parse(text: str) -> Gate:
    """Read a limit.

    Raises:
        DataError: it is none.
    """
    found = _FORM.fullmatch(text.strip())
    if not found:
        raise DataError(
            f"'{text}' is no limit; write for example 'latency_p50 > +10%', 'accuracy < -0.2' or "
            "'tflite int8: size > +5%'"
        )
    model, metric, side, limit, percent = found.groups()
    if metric not in METRICS:
        raise DataError(f"'{text}': there is no '{metric}'; choose {', '.join(METRICS)}")
    if (METRICS[metric].unit == "%") != bool(percent):
        form = "percent, as in '+10%'" if METRICS[metric].unit == "%" else "points, as in '-0.2'"
        raise DataError(f"'{text}': a change of {metric} is in {form}")
    return Gate(text, (model or "").strip(), metric, "<" if side == "<" else ">", float(limit))


def failing(gate: Gate, comparison: Comparison) -> tuple[Change, ...]:
    """The changes that break a limit."""
    return tuple(change for change in comparison.changes if gate.is_broken_by(change))


def unjudged(gate: Gate, comparison: Comparison) -> str | None:
    """Why it cannot be said whether a limit holds, None where it can.

    A limit that nothing was held against must not pass.
    """
    lost = [model for model in comparison.gone if gate.is_for(model)]
    if lost:
        return f"{', '.join(lost)} is not in the new result"
    judged = {change.metric for change in comparison.changes if gate.is_for(change.model)}
    if METRICS[gate.metric].timed and comparison.incomparable:
        return "; ".join(comparison.incomparable)
    return None if gate.metric in judged else "no model in both results has that figure"
