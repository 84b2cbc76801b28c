"""The cells of the tables."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fmx_benchmarks.report import table
from fmx_benchmarks.statistics.analysis import Analysis

if TYPE_CHECKING:
    from fmx_runtime.bench.result import Result, Variant


def _cell(analysis: Analysis, variant: Variant, heading: str) -> str:
    return table.rows(analysis)[analysis.variants.index(variant)][table.column_index(heading)]


def test_cells_are_the_results_figures(analysis: Analysis) -> None:
    """Accuracy, agreement, size and speed-up are those of the result."""
    for variant in analysis.variants:
        accuracy = _cell(analysis, variant, "accuracy")
        assert accuracy.startswith(f"{100 * analysis.accuracy(variant).value:.2f} (")
        assert _cell(analysis, variant, "size") == f"{variant.size_bytes / 1000:,.0f}"
        if variant != analysis.reference:
            share = float(_cell(analysis, variant, "agreement"))
            assert abs(share - 100 * analysis.agreement(variant).value) < 0.005
    int8, baseline = analysis.variants[3], analysis.variants[1]
    speed = analysis.speedup(int8, baseline)
    assert _cell(analysis, int8, "speed-up").startswith(f"{speed.value:.2f}x ({speed.low:.2f}")
    assert not _cell(analysis, baseline, "speed-up")


def test_every_row_has_every_cell(analysis: Analysis) -> None:
    """Rows are as long as the list of columns, and each column says what it means."""
    assert {len(row) for row in table.rows(analysis)} == {len(table.COLUMNS)}
    assert all(column.meaning for column in table.COLUMNS)


def test_several_of_a_kind_are_told_apart(analysis: Analysis) -> None:
    """Where a kind alone does not say which file is meant, its name does."""
    run = analysis.run
    twin = dataclasses.replace(run.variants[3], name="other.int8.tflite")
    several = dataclasses.replace(run, variants=(*run.variants, twin))
    names = [row[0] for row in table.rows(Analysis(analysis.result, several))]
    assert names[3] == f"TFLite int8 {run.variants[3].name}"
    assert names[-1] == "TFLite int8 other.int8.tflite"
    assert names[:3] == [row[0] for row in table.rows(analysis)][:3]


def test_reference_tools(two_machines: Result) -> None:
    """A row has both medians, the median ratio with its interval, and whether they agree."""
    (row,) = table.reference_tool_rows(two_machines.runs[0])
    assert len(row) == len(table.REFERENCE_TOOL_HEADINGS)
    assert row[1:] == (
        "litert-benchmark (2.3)",
        "the network alone (mean)",
        "20.40",
        "20.00",
        "1.02 (1.02 to 1.02)",
        "agree",
    )
