"""``fmx bench compare``."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from fmx_benchmarks.statistics import regression_limits as gates
from fmx_benchmarks.statistics.compare import compare
from fmx_benchmarks.statistics.metrics import METRICS
from fmx_cli.terminal import note, out
from fmx_runtime.bench.result import Result
from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fmx_benchmarks.statistics.compare import Change, Comparison
    from fmx_benchmarks.statistics.regression_limits import RegressionLimit

__all__ = ["compare_files"]

_FAILED, _UNJUDGED = 1, 3
_UNITS = {"%": " %", "points": " pt", "nats": ""}
_FIGURES = {  # what one unit of the table is, and what it is called
    "accuracy": (1, " %"),
    "agreement": (1, " %"),
    "log_loss": (1, ""),
    "calibration_error": (1, " %"),
    "latency_p50": (1, " µs"),
    "latency_p90": (1, " µs"),
    "latency_p99": (1, " µs"),
    "throughput": (1, " /s"),
    "start": (1, " s"),
    "memory": (1e6, " MB"),
    "size": (1e3, " KB"),
    "speedup": (1, "x"),
}
_WHOLE = 1e4


def compare_files(old: Path, new: Path, fail_if: Sequence[str]) -> None:
    """Print what changed; exits with 1 if a limit is broken, with 3 if one cannot be judged.

    Args:
        old: a ``result.json``.
        new: another.
        fail_if: limits, see `fmx_benchmarks.statistics.regression_limits`.

    Raises:
        DataError: a file is no result, or a limit is none.
    """
    limits = [gates.parse(text) for text in fail_if]
    comparison = compare(_read(old), _read(new))
    _print(comparison)
    codes = [_judge(limit, comparison) for limit in limits]
    if any(codes):
        sys.exit(max(codes))


def _read(path: Path) -> Result:
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"'{path}' is no benchmark result: it is no text") from error
    try:
        return Result.from_json(text)
    except DataError as error:
        raise DataError(f"'{path}': {error}") from error


def _print(comparison: Comparison) -> None:
    out.print(_table(comparison))
    for reason in dict.fromkeys(one.reason for one in comparison.unknown):
        out.print(Text(reason, "yellow"))
    for name in comparison.added:
        out.print(Text(f"{name} is new"))
    for sentence in comparison.failures:
        out.print(Text(f"not measured: {sentence}", "yellow"))
    if not comparison.same_images:
        out.print(Text("the images are not the same: answers are compared as of two samples"))
    out.print("* beyond noise: the interval does not reach 0", style="dim")


def _table(comparison: Comparison) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("model", min_width=11)
    table.add_column("", no_wrap=True)
    for heading in ("old", "new", "change", "95 % interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    model = ""
    for change in comparison.changes:
        style = "bold" if change.is_real else "dim"
        table.add_row(change.model if change.model != model else "", *_cells(change), style=style)
        model = change.model
    return table


def _cells(change: Change) -> tuple[str, ...]:
    return (
        change.metric,
        _figure(change.metric, change.old),
        _figure(change.metric, change.new),
        _amount(change),
        _interval(change),
        "*" if change.is_real else "",
    )


def _figure(metric: str, value: float) -> str:
    one, name = _FIGURES[metric]
    digits = f"{value / one:,.0f}" if value / one >= _WHOLE else f"{value / one:,.4g}"
    return digits + name


def _amount(change: Change) -> str:
    unit = METRICS[change.metric].unit
    return f"{change.change.value:+.{_digits(unit)}f}{_UNITS[unit]}"


def _interval(change: Change) -> str:
    metric, estimate = METRICS[change.metric], change.change
    if estimate.low == estimate.high:
        return "exact"
    if math.isinf(estimate.low):
        return f"too few {metric.samples}"
    digits = _digits(metric.unit)
    return f"{estimate.low:+.{digits}f} to {estimate.high:+.{digits}f}"


def _digits(unit: str) -> int:
    return 4 if unit == "nats" else 2


def _judge(limit: RegressionLimit, comparison: Comparison) -> int:
    broken, reasons = gates.failing(limit, comparison), gates.unjudged(limit, comparison)
    for change in broken:
        note(
            f"failed: '{limit.text}': {change.model}: {change.metric} changed by {_amount(change)} "
            f"({_interval(change)})"
        )
    for reason in reasons:
        note(f"cannot be judged: '{limit.text}': {reason}")
    if not broken and not reasons:
        note(f"passed: '{limit.text}'")
    return _UNJUDGED if reasons else _FAILED if broken else 0
