"""The figures in words and cells."""

from __future__ import annotations

import dataclasses
import statistics
from typing import TYPE_CHECKING

from rich.console import Console

from fmx_benchmarks import table

if TYPE_CHECKING:
    from fmx_benchmarks.result import Result, Variant


def _cell(result: Result, variant: Variant, heading: str) -> str:
    column = [column.heading for column in table.COLUMNS].index(heading)
    return table.rows(result)[result.variants.index(variant)][column]


def test_cells_are_the_results_figures(result: Result) -> None:
    """Accuracy, difference, agreement, size and speed are those of the result."""
    for variant in result.variants:
        accuracy = _cell(result, variant, "accuracy")
        assert accuracy.startswith(f"{100 * result.accuracy(variant).value:.2f} (")
        assert _cell(result, variant, "size") == f"{variant.size_bytes / 1000:,.0f}"
        if variant != result.reference:
            share = float(_cell(result, variant, "agreement"))
            assert abs(share - 100 * result.agreement(variant).value) < 0.005
    int8, baseline = result.variants[3], result.variants[1]
    speed = statistics.median(result.speedups(int8, baseline))
    assert _cell(result, int8, "speed") == f"{speed:.2f}x"
    assert not _cell(result, baseline, "speed")


def test_every_row_has_every_cell(result: Result) -> None:
    """Rows are as long as the list of columns, and each column says what it means."""
    assert {len(row) for row in table.rows(result)} == {len(table.COLUMNS)}
    assert all(column.meaning for column in table.COLUMNS)


def test_it_fits_a_terminal(result: Result) -> None:
    """No line of the table is wider than 80 columns, and no figure is cut."""
    console = Console(width=80, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(table.build(result))
    lines = capture.get().splitlines()
    assert len(lines) == 2 + len(result.variants)
    assert max(map(len, lines)) <= 80
    assert "…" not in capture.get()


def test_the_headline_tells_of_each_int8_file(result: Result) -> None:
    """One sentence for each int8 file that has its float file beside it."""
    sentences = table.headline(result)
    assert [words.split(" is ")[0] for words in sentences] == ["TFLite int8", "ONNX int8"]
    alone = dataclasses.replace(result, variants=result.variants[3:])
    assert table.headline(alone) == ()


def test_a_noisy_run_is_told(result: Result) -> None:
    """A busy machine and rounds that differ are pointed out."""
    noisy_round = dataclasses.replace(
        result.variants[1].rounds[0],
        calls_us=tuple(5 * value for value in result.variants[1].rounds[0].calls_us),
    )
    noisy = dataclasses.replace(
        result.variants[1], rounds=(noisy_round, *result.variants[1].rounds[1:])
    )
    busy = dataclasses.replace(
        result,
        machine=dataclasses.replace(result.machine, load=3.0),
        variants=(result.variants[0], noisy, *result.variants[2:]),
    )
    told = "\n".join(table.notes(busy))
    assert "load 3.0" in told
    assert "TFLite float32: the slowest round's median was" in told
    quiet = dataclasses.replace(result, machine=dataclasses.replace(result.machine, load=0.0))
    assert "busy" not in "\n".join(table.notes(quiet))


def test_a_difference_of_nothing_has_no_sign() -> None:
    """Signs are those of what is shown: -0.001 points are 0.00."""
    assert [table._signed(value) for value in (-0.001, 0.0, 0.26, -0.26)] == [
        "0.00",
        "0.00",
        "+0.26",
        "\N{MINUS SIGN}0.26",
    ]
