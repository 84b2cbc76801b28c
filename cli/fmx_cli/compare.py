"""``fmx bench compare``."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from fmx_benchmarks import gate as gates
from fmx_benchmarks.compare import METRICS, compare
from fmx_cli.terminal import note, out
from fmx_runtime.bench.record import Result
from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fmx_benchmarks.compare import Change, Comparison
    from fmx_benchmarks.gate import Gate

__all__ = ["compare_files"]

_FAILED, _UNJUDGED = 1, 3


def compare_files(old: Path, new: Path, fail_if: Sequence[str]) -> None:
    """Print what changed; exits with 1 if a limit is broken, with 3 if one cannot be judged.

    Args:
        old: a ``result.json``.
        new: another.
        fail_if: limits, see `fmx_benchmarks.gate`.

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
    except (OSError, ValueError) as error:
        raise DataError(f"'{path}' cannot be read: {error}") from error
    try:
        return Result.from_json(text)
    except DataError as error:
        raise DataError(f"'{path}': {error}") from error


def _print(comparison: Comparison) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("model", min_width=11)
    table.add_column("", no_wrap=True)
    for heading in ("old", "new", "change", "95 % interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    model = ""
    for change in comparison.changes:
        style = "bold" if change.is_real else "dim"
        table.add_row(change.model if change.model != model else "", *_cells(change), style=style)
        model = change.model
    out.print(table)
    for name in comparison.gone:
        out.print(Text(f"{name} is not in the new result", "yellow"))
    for name in comparison.added:
        out.print(Text(f"{name} is new"))
    for sentence in comparison.incomparable:
        out.print(Text(sentence, "yellow"))
    out.print(
        "Changes in bold are beyond noise: their interval does not reach nothing.", style="dim"
    )


def _cells(change: Change) -> tuple[str, ...]:
    unit = METRICS[change.metric].unit
    sign = " %" if unit == "%" else " pt"
    estimate = change.change
    interval = f"{estimate.low:+.2f} to {estimate.high:+.2f}"
    if math.isinf(estimate.low):
        interval = "too few rounds"
    return (
        change.metric,
        f"{change.old:,.4g}" if change.old < 1e4 else f"{change.old:,.0f}",  # noqa: PLR2004
        f"{change.new:,.4g}" if change.new < 1e4 else f"{change.new:,.0f}",  # noqa: PLR2004
        f"{estimate.value:+.2f}{sign}",
        "" if estimate.low == estimate.high else interval,
    )


def _judge(limit: Gate, comparison: Comparison) -> int:
    if reason := gates.unjudged(limit, comparison):
        note(f"cannot be judged: '{limit.text}': {reason}")
        return _UNJUDGED
    broken = gates.failing(limit, comparison)
    for change in broken:
        estimate, unit = change.change, METRICS[change.metric].unit
        note(
            f"failed: '{limit.text}': {change.model} {change.metric} changed by "
            f"{estimate.value:+.2f} {unit} ({estimate.low:+.2f} to {estimate.high:+.2f})"
        )
    if not broken:
        note(f"passed: '{limit.text}'")
    return _FAILED if broken else 0
