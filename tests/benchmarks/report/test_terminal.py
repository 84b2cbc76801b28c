"""The tables of the terminal."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from fmx_benchmarks.report.terminal import terminal_report

if TYPE_CHECKING:
    from fmx_runtime.bench.result import Result


@pytest.mark.parametrize("slower", [1, 40, 3000])
def test_it_fits_a_terminal(result: Result, slower: int) -> None:
    """No line is wider than 80 columns and no figure is cut, however slow the machine is."""
    (run,) = result.runs
    slow = tuple(
        dataclasses.replace(
            variant,
            repeats=tuple(
                dataclasses.replace(one, latencies_us=tuple(slower * us for us in one.latencies_us))
                for one in variant.repeats
            ),
        )
        for variant in run.variants
    )
    shown = dataclasses.replace(result, runs=(dataclasses.replace(run, variants=slow),))
    console = Console(width=80)
    with console.capture() as capture:
        console.print(terminal_report(shown))
    lines = capture.get().rstrip().splitlines()
    assert len(lines) == 2 + len(run.variants)
    assert max(map(len, lines)) <= 80
    assert "…" not in capture.get()
    for heading in ("accuracy", "difference", "p50", "speed-up", "size"):
        assert heading in lines[0]


def test_two_machines(two_machines: Result) -> None:
    """Machines, predictions that differ, reference tools and failures are all shown."""
    console = Console(width=80)
    with console.capture() as capture:
        console.print(terminal_report(two_machines))
    text = capture.get()
    assert "pi5" in text
    assert "1 of 300 of the labels differ" in text
    assert "litert-benchmark" in text
    assert "a.int8.onnx on pi5: no interpreter" in text
