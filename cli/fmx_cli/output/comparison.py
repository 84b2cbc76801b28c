"""Print the comparison of two benchmark results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from fmx_benchmarks.report.comparison import COMPARISON_HEADINGS, comparison_rows, remarks
from fmx_cli.output.terminal import out

if TYPE_CHECKING:
    from fmx_benchmarks.statistics.compare import Comparison

__all__ = ["print_comparison"]

_TEXT_COLUMNS = ("model", "")


def print_comparison(comparison: Comparison) -> None:
    """Print the table and the remarks; changes beyond noise are bold."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in COMPARISON_HEADINGS:
        is_text = heading in _TEXT_COLUMNS
        table.add_column(
            heading,
            justify="left" if is_text else "right",
            no_wrap=heading != "model",
            min_width=11 if heading == "model" else None,
        )
    previous = ""
    for model, *cells in comparison_rows(comparison):
        significant = cells[-1] == "*"
        table.add_row(
            "" if model == previous else model, *cells, style="bold" if significant else "dim"
        )
        previous = model
    out.print(table)
    for remark in remarks(comparison):
        out.print(Text(remark, "yellow"))
    out.print("* beyond noise: the interval does not contain 0", style="dim")
