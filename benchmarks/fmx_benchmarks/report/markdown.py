"""The report as Markdown, for a pull request or an issue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_benchmarks.report import summary, table
from fmx_benchmarks.statistics.analysis import Analysis
from fmx_benchmarks.statistics.display_names import describe_failures, machine_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmx_runtime.bench.result import Result

__all__ = ["render_markdown"]

_ESCAPES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("`", "'"))


def render_markdown(result: Result) -> str:
    """Return the figures as Markdown."""
    lines = [f"## Benchmark on {_escape(result.data)}", ""]
    for failure in describe_failures(result):
        lines += [f"> **not measured:** {_escape(failure)}", ""]
    for run in result.runs:
        lines += _run_section(Analysis(result, run), with_heading=len(result.runs) > 1)
    lines += [f"- {_escape(sentence)}" for sentence in summary.compare_predictions(result)]
    for run in result.runs:
        lines += [
            "",
            f"<details><summary>Machine: {_escape(machine_name(run))}</summary>",
            "",
            *(f"- {name}: {_escape(value)}" for name, value in summary.machine_facts(run)),
            "",
            "</details>",
        ]
    return "\n".join(lines) + "\n"


def _run_section(analysis: Analysis, *, with_heading: bool) -> list[str]:
    """Return the headlines, tables and notes of one machine."""
    run = analysis.run
    lines = [f"### {_escape(machine_name(run))}", ""] if with_heading else []
    if not analysis.variants:
        return lines
    headings = [f"{column.heading}, {column.unit}".rstrip(", ") for column in table.COLUMNS]
    alignment = ["---", *["---:"] * (len(headings) - 1)]
    lines += [f"- {sentence}" for sentence in summary.headlines(analysis)]
    lines += ["", *map(_table_row, (headings, alignment, *table.rows(analysis))), ""]
    if run.reference_tools:
        rows = [list(map(_escape, row)) for row in table.reference_tool_rows(run)]
        headings = [*table.REFERENCE_TOOL_HEADINGS]
        lines += [*map(_table_row, (headings, ["---"] * len(headings), *rows)), ""]
    return [*lines, *(f"{_escape(note)}  " for note in summary.notes(analysis)), ""]


def _table_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    """Return one line in which Markdown and HTML have no special meaning."""
    for character, replacement in _ESCAPES:
        text = text.replace(character, replacement)
    return " ".join(text.split())
