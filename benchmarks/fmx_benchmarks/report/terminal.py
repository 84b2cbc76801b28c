"""The results as tables for a terminal that is 80 columns wide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from fmx_benchmarks.report.summary import compare_predictions
from fmx_benchmarks.report.table import (
    COLUMNS,
    REFERENCE_TOOL_HEADINGS,
    reference_tool_rows,
    rows,
)
from fmx_benchmarks.statistics.analysis import Analysis
from fmx_benchmarks.statistics.display_names import describe_failures, machine_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from fmx_benchmarks.report.table import Column
    from fmx_runtime.bench.result import Result, Run

__all__ = ["terminal_report"]

_WIDTH = 80
_DISPENSABLE = (
    "compute",
    "of peak",
    "ECE",
    "log loss",
    "p",
    "agreement",
    "memory",
    "p90",
    "time to first prediction",
    "p99",
)
"""The columns that are left out until the rest fits, in this order; the reports have them all."""


def terminal_report(result: Result) -> RenderableType:
    """Return the most important figures of each machine."""
    parts: list[RenderableType] = []
    for run in result.runs:
        if not run.variants:
            continue
        if len(result.runs) > 1:
            parts.append(Text(machine_name(run), "bold"))
        parts += [_run_table(rows(Analysis(result, run))), Text()]
    parts += [Text(sentence) for sentence in compare_predictions(result)]
    if result.runs[0].reference_tools:
        parts += [_reference_tool_table(result.runs[0]), Text()]
    parts += [Text(sentence, "red") for sentence in describe_failures(result)]
    return Group(*parts)


def _run_table(cells: Sequence[Sequence[str]]) -> Table:
    shown = list(range(len(COLUMNS)))
    for heading in _DISPENSABLE:
        if sum(_width(index, cells) + 1 for index in shown) <= _WIDTH:
            break
        shown = [index for index in shown if COLUMNS[index].heading != heading]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for index in shown:
        first, second = _heading_lines(COLUMNS[index])
        table.add_column(
            f"{first}\n[dim]{second}[/]",
            justify="right" if index else "left",
            overflow="fold",
        )
    for row in cells:
        table.add_row(*(_without_interval(row[index]) for index in shown))
    return table


def _heading_lines(column: Column) -> tuple[str, str]:
    return column.lines or (column.heading, column.unit)


def _width(index: int, cells: Sequence[Sequence[str]]) -> int:
    texts = [*_heading_lines(COLUMNS[index]), *(_without_interval(row[index]) for row in cells)]
    return max(map(len, texts))


def _without_interval(cell: str) -> str:
    return cell.partition(" (")[0]


def _reference_tool_table(run: Run) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in REFERENCE_TOOL_HEADINGS:
        stacked = heading.replace(", ", "\n").replace(" / ", "\n/ ")
        table.add_column(stacked, justify="right" if "µs" in heading or "/" in heading else "left")
    for row in reference_tool_rows(run):
        table.add_row(*(_without_interval(cell) for cell in row))
    return table
