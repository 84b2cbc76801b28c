"""Limits for changes, as CI wants them: ``latency_p50 > +10%``, ``int8: accuracy < -0.2``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fmx_benchmarks.statistics.metrics import METRICS
from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from fmx_benchmarks.statistics.compare import Change, Comparison

__all__ = ["RegressionLimit", "failing", "parse", "unjudged"]

_FORM = re.compile(r"(?:([^:]+):)?\s*(\w+)\s*([<>])\s*([+-]?\d+(?:\.\d+)?)\s*(%?)", re.ASCII)
_EXAMPLES = {
    "%": "percent, as in 'size > +5%'",
    "points": "percentage points, without %, as in 'accuracy < -0.2'",
    "nats": "nats, without %, as in 'log_loss > +0.01'",
}


@dataclass(frozen=True)
class RegressionLimit:
    """One limit.

    Attributes:
        text: as it was written.
        model: words of the models that it is for, such as ``TFLite int8``; none means all files.
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
        """Whether a model, as `Change.model` calls it, has all of the words.

        The Keras model is no file that is shipped, and has few rounds: it has to be named.
        """
        wanted, words = self.model.lower().split(), model.lower().split()
        return set(wanted) <= set(words) and ("keras" in wanted or "keras" not in words)

    def is_broken_by(self, change: Change) -> bool:
        """Whether a change is beyond the limit, and beyond noise."""
        if not (change.metric == self.metric and self.is_for(change.model) and change.is_real):
            return False
        value = change.change.value
        return value > self.limit if self.side == ">" else value < self.limit


def parse(text: str) -> RegressionLimit:
    """Read a limit.

    Raises:
        DataError: it is none.
    """
    found = _FORM.fullmatch(text.strip())
    if not found:
        raise DataError(
            f"{text!r} is no limit; write for example 'latency_p50 > +10%', 'accuracy < -0.2' or "
            f"'tflite int8: size > +5%', with one of {', '.join(METRICS)}"
        )
    model, metric, side, limit, percent = found.groups()
    if metric not in METRICS:
        raise DataError(f"{text!r}: there is no '{metric}'; choose {', '.join(METRICS)}")
    unit = METRICS[metric].unit
    if (unit == "%") != bool(percent):
        raise DataError(f"{text!r}: a change of {metric} is in {_EXAMPLES[unit]}")
    return RegressionLimit(
        text, (model or "").strip(), metric, "<" if side == "<" else ">", float(limit)
    )


def failing(gate: RegressionLimit, comparison: Comparison) -> tuple[Change, ...]:
    """The changes that break a limit."""
    return tuple(change for change in comparison.changes if gate.is_broken_by(change))


def unjudged(gate: RegressionLimit, comparison: Comparison) -> tuple[str, ...]:
    """Why it cannot be said whether a limit holds, a sentence each; none where it can.

    A limit that a model was not held against must not pass.
    """
    reasons = [
        one.reason
        for one in comparison.unknown
        if one.metric == gate.metric and gate.is_for(one.model)
    ]
    changes = [
        one for one in comparison.changes if one.metric == gate.metric and gate.is_for(one.model)
    ]
    reasons += [
        f"{one.model} has too few {METRICS[one.metric].samples}: measure more"
        for one in changes
        if math.isinf(one.change.low)
    ]
    if not reasons and not changes:
        whose = f"'{gate.model}'" if gate.model else "model file"
        reasons = [f"no {whose} in both results has {gate.metric}"]
    return tuple(dict.fromkeys(reasons))
