"""The figures in words and cells."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from fmx_benchmarks.report import table
from fmx_benchmarks.statistics.analysis import Analysis

if TYPE_CHECKING:
    from fmx_runtime.bench.result import Result, Variant


def _cell(analysis: Analysis, variant: Variant, heading: str) -> str:
    column = [column.heading for column in table.COLUMNS].index(heading)
    return table.rows(analysis)[analysis.variants.index(variant)][column]


def test_cells_are_the_results_figures(analysis: Analysis) -> None:
    """Accuracy, agreement, size and speed are those of the result."""
    for variant in analysis.variants:
        accuracy = _cell(analysis, variant, "accuracy")
        assert accuracy.startswith(f"{100 * analysis.accuracy(variant).value:.2f} (")
        assert _cell(analysis, variant, "size") == f"{variant.size_bytes / 1000:,.0f}"
        if variant != analysis.reference:
            share = float(_cell(analysis, variant, "agreement"))
            assert abs(share - 100 * analysis.agreement(variant).value) < 0.005
    int8, baseline = analysis.variants[3], analysis.variants[1]
    speed = analysis.speedup(int8, baseline)
    assert _cell(analysis, int8, "speed").startswith(f"{speed.value:.2f}x ({speed.low:.2f}")
    assert not _cell(analysis, baseline, "speed")


def test_every_row_has_every_cell(analysis: Analysis) -> None:
    """Rows are as long as the list of columns, and each column says what it means."""
    assert {len(row) for row in table.rows(analysis)} == {len(table.COLUMNS)}
    assert all(column.meaning for column in table.COLUMNS)


@pytest.mark.parametrize("slower", [1, 40, 3000])
def test_it_fits_a_terminal(result: Result, slower: int) -> None:
    """No line is wider than 80 columns and no figure is cut, however slow the machine is."""
    (run,) = result.runs
    slow = tuple(
        dataclasses.replace(
            variant,
            rounds=tuple(
                dataclasses.replace(one, latencies_us=tuple(slower * us for us in one.latencies_us))
                for one in variant.rounds
            ),
        )
        for variant in run.variants
    )
    shown = dataclasses.replace(result, runs=(dataclasses.replace(run, variants=slow),))
    console = Console(width=80)
    with console.capture() as capture:
        console.print(table.build(shown))
    lines = capture.get().rstrip().splitlines()
    assert len(lines) == 2 + len(run.variants)
    assert max(map(len, lines)) <= 80
    assert "…" not in capture.get()
    for heading in ("accuracy", "difference", "p50", "speed", "size"):
        assert heading in lines[0]


def test_the_headline_tells_of_each_int8_file(analysis: Analysis) -> None:
    """One sentence for each int8 file that has its float file beside it."""
    sentences = table.headline(analysis)
    assert [words.split(" is ")[0] for words in sentences] == ["TFLite int8", "ONNX int8"]
    run = dataclasses.replace(analysis.run, variants=analysis.variants[3:])
    assert table.headline(Analysis(analysis.result, run)) == ()


def test_several_of_a_kind_are_told_apart(analysis: Analysis) -> None:
    """Where a kind alone does not say which file is meant, its name does."""
    run = analysis.run
    twin = dataclasses.replace(run.variants[3], name="other.int8.tflite")
    several = dataclasses.replace(run, variants=(*run.variants, twin))
    names = [row[0] for row in table.rows(Analysis(analysis.result, several))]
    assert names[3] == f"TFLite int8 {run.variants[3].name}"
    assert names[-1] == "TFLite int8 other.int8.tflite"
    assert names[:3] == [row[0] for row in table.rows(analysis)][:3]


def _noted(analysis: Analysis, **changes: object) -> str:
    run = dataclasses.replace(analysis.run, **changes)  # type: ignore[arg-type]
    return "\n".join(table.notes(Analysis(analysis.result, run)))


def test_what_disturbs_is_told(analysis: Analysis) -> None:
    """A busy or hot or throttled machine, a changing clock, and rounds that differ are told."""
    run = analysis.run
    noisy_round = dataclasses.replace(
        run.variants[1].rounds[0],
        latencies_us=tuple(5 * value for value in run.variants[1].rounds[0].latencies_us),
    )
    noisy = dataclasses.replace(run.variants[1], rounds=(noisy_round, *run.variants[1].rounds[1:]))
    machine_states = [
        dataclasses.replace(run.machine_states[0], celsius=celsius, mhz=mhz, throttled=flags)
        for celsius, mhz, flags in ((50.0, 1500.0, ()), (83.0, 1000.0, ("under-voltage",)))
    ]
    told = _noted(
        analysis,
        machine=dataclasses.replace(run.machine, load=3.0),
        variants=(run.variants[0], noisy, *run.variants[2:]),
        machine_states=tuple(machine_states),
    )
    assert "load 3.0" in told
    assert "TFLite float32: the slowest round's median was" in told
    assert "The board said: under-voltage" in told
    assert "up to 83 °C" in told
    assert "from 1,000 to 1,500 MHz" in told
    quiet = _noted(
        analysis,
        machine=dataclasses.replace(run.machine, load=0.0),
        machine_states=tuple(machine_states[:1]),
    )
    for word in ("busy", "°C", "MHz", "board"):
        assert word not in quiet


def test_a_difference_of_nothing_has_no_sign() -> None:
    """Signs are those of what is shown: -0.001 points are 0.00."""
    assert [table._signed(value) for value in (-0.001, 0.0, 0.26, -0.26)] == [
        "0.00",
        "0.00",
        "+0.26",
        "\N{MINUS SIGN}0.26",
    ]
