"""The comparison of two results as rows of text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fmx_benchmarks.statistics.metrics import METRICS

if TYPE_CHECKING:
    from fmx_benchmarks.statistics.compare import Change, Comparison
    from fmx_benchmarks.statistics.regression_limits import Verdict

__all__ = ["COMPARISON_HEADINGS", "comparison_rows", "describe_verdict", "remarks"]

COMPARISON_HEADINGS = ("model", "", "old", "new", "change", "95 % interval", "")
"""The headings of `comparison_rows`."""

_CHANGE_UNITS = {"%": " %", "points": " pt", "nats": ""}
_VALUE_UNITS = {  # metric -> the size of one unit in the table, and its name
    "accuracy": (1, " %"),
    "agreement": (1, " %"),
    "log_loss": (1, ""),
    "calibration_error": (1, " %"),
    "latency_p50": (1, " µs"),
    "latency_p90": (1, " µs"),
    "latency_p99": (1, " µs"),
    "throughput": (1, " /s"),
    "first_prediction": (1, " s"),
    "memory": (1e6, " MB"),
    "size": (1e3, " KB"),
    "speedup": (1, "x"),
}
_MAX_SIGNIFICANT = 1e4
"""From here on all digits before the point are shown."""


def comparison_rows(comparison: Comparison) -> tuple[tuple[str, ...], ...]:
    """Return one row of cells for each change, in the order of `COMPARISON_HEADINGS`."""
    return tuple(
        (
            change.model,
            change.metric,
            _value(change.metric, change.old),
            _value(change.metric, change.new),
            _change(change),
            _interval(change),
            "*" if change.is_significant else "",
        )
        for change in comparison.changes
    )


def remarks(comparison: Comparison) -> tuple[str, ...]:
    """Return what could not be compared, is new or failed, a sentence each."""
    sentences = [*dict.fromkeys(unknown.reason for unknown in comparison.unknown)]
    sentences += [f"{name} is new" for name in comparison.added]
    sentences += [f"not measured: {failure}" for failure in comparison.failures]
    if not comparison.same_images:
        sentences.append("the images differ: predictions are compared as two samples")
    return tuple(sentences)


def describe_verdict(verdict: Verdict) -> tuple[str, ...]:
    """Return a line for each violation and each reason why a limit cannot be judged."""
    text = verdict.limit.text
    lines = [
        f"failed: '{text}': {change.model}: {change.metric} changed by {_change(change)} "
        f"({_interval(change)})"
        for change in verdict.violations
    ]
    lines += [f"cannot be judged: '{text}': {reason}" for reason in verdict.unjudged]
    return tuple(lines) or (f"passed: '{text}'",)


def _value(metric: str, value: float) -> str:
    unit, name = _VALUE_UNITS[metric]
    shown = value / unit
    return (f"{shown:,.0f}" if shown >= _MAX_SIGNIFICANT else f"{shown:,.4g}") + name


def _change(change: Change) -> str:
    unit = METRICS[change.metric].unit
    return f"{change.change.value:+.{_decimals(unit)}f}{_CHANGE_UNITS[unit]}"


def _interval(change: Change) -> str:
    metric, estimate = METRICS[change.metric], change.change
    if estimate.low == estimate.high:
        return "exact"
    if math.isinf(estimate.low):
        return f"too few {metric.samples}"
    decimals = _decimals(metric.unit)
    return f"{estimate.low:+.{decimals}f} to {estimate.high:+.{decimals}f}"


def _decimals(unit: str) -> int:
    return 4 if unit == "nats" else 2
