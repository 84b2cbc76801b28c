"""Regression limits: the largest changes that CI accepts.

For example ``latency_p50 > +10%`` or ``int8: accuracy < -0.2``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fmx_benchmarks.statistics.metrics import METRICS
from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from fmx_benchmarks.statistics.compare import Change, Comparison

__all__ = ["RegressionLimit", "Verdict", "judge", "parse"]

_SYNTAX = re.compile(r"(?:([^:]+):)?\s*(\w+)\s*([<>])\s*([+-]?\d+(?:\.\d+)?)\s*(%?)", re.ASCII)
_UNITS = {
    "%": "percent, as in 'size > +5%'",
    "points": "percentage points, without %, as in 'accuracy < -0.2'",
    "nats": "nats, without %, as in 'log_loss > +0.01'",
}


@dataclass(frozen=True)
class RegressionLimit:
    """A limit for the change of one metric.

    Attributes:
        text: as it was written.
        model: words of the models that it applies to, such as ``TFLite int8``; empty for all model
            files.
        metric: a key of `METRICS`.
        side: whether changes below or above the limit break it.
        limit: in the metric's unit.
    """

    text: str
    model: str
    metric: str
    side: Literal["<", ">"]
    limit: float

    def applies_to(self, model: str) -> bool:
        """Return whether a model's name has all the limit's words.

        The Keras model has to be named, because it is not a file that is shipped and has few
        repeats.

        Args:
            model: the name, as `Change.model` has it.
        """
        wanted, words = self.model.lower().split(), model.lower().split()
        return set(wanted) <= set(words) and ("keras" in wanted or "keras" not in words)

    def is_broken_by(self, change: Change) -> bool:
        """Return whether a change is beyond the limit and beyond noise."""
        if change.metric != self.metric or not self.applies_to(change.model):
            return False
        if not change.is_significant:
            return False
        value = change.change.value
        return value > self.limit if self.side == ">" else value < self.limit


@dataclass(frozen=True)
class Verdict:
    """Whether a limit holds.

    Attributes:
        limit: the limit.
        violations: the changes that break it.
        unjudged: why it cannot be judged for some model, a sentence each. A limit that was not
            checked for a model does not pass.
    """

    limit: RegressionLimit
    violations: tuple[Change, ...]
    unjudged: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 if the limit holds, 1 if it is broken, 3 if it cannot be judged."""
        if self.unjudged:
            return 3
        return 1 if self.violations else 0


def parse(text: str) -> RegressionLimit:
    """Read a limit.

    Args:
        text: ``[MODEL:] METRIC > LIMIT`` or ``[MODEL:] METRIC < LIMIT``.

    Raises:
        DataError: The text has another form, or the metric or the unit is wrong.
    """
    found = _SYNTAX.fullmatch(text.strip())
    if not found:
        raise DataError(
            f"{text!r} is not a limit; write for example 'latency_p50 > +10%', 'accuracy < -0.2' "
            f"or 'tflite int8: size > +5%', with one of {', '.join(METRICS)}"
        )
    model, metric, side, limit, percent = found.groups()
    if metric not in METRICS:
        raise DataError(f"{text!r}: there is no metric '{metric}'; choose {', '.join(METRICS)}")
    unit = METRICS[metric].unit
    if (unit == "%") != bool(percent):
        raise DataError(f"{text!r}: a change of {metric} is in {_UNITS[unit]}")
    return RegressionLimit(
        text, (model or "").strip(), metric, "<" if side == "<" else ">", float(limit)
    )


def judge(limit: RegressionLimit, comparison: Comparison) -> Verdict:
    """Check a limit against all changes of a comparison."""
    violations = tuple(change for change in comparison.changes if limit.is_broken_by(change))
    return Verdict(limit, violations, _unjudged_reasons(limit, comparison))


def _unjudged_reasons(limit: RegressionLimit, comparison: Comparison) -> tuple[str, ...]:
    """Return the distinct reasons why the limit cannot be judged; empty if it can."""
    reasons = [
        one.reason
        for one in comparison.unknown
        if one.metric == limit.metric and limit.applies_to(one.model)
    ]
    changes = [
        one
        for one in comparison.changes
        if one.metric == limit.metric and limit.applies_to(one.model)
    ]
    reasons += [
        f"{one.model} has too few {METRICS[one.metric].samples}: measure more"
        for one in changes
        if math.isinf(one.change.low)
    ]
    if not reasons and not changes:
        whose = f"'{limit.model}'" if limit.model else "model file"
        reasons = [f"no {whose} in both results has {limit.metric}"]
    return tuple(dict.fromkeys(reasons))
