"""The results in sentences."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fmx_benchmarks.report.summary import headlines, machine_facts, notes
from fmx_benchmarks.statistics.analysis import Analysis

if TYPE_CHECKING:
    from fmx_runtime.bench.result import Result


def test_each_int8_file_has_a_headline(analysis: Analysis) -> None:
    """One sentence for each int8 file that has its float file beside it."""
    sentences = headlines(analysis)
    assert [words.split(" is ")[0] for words in sentences] == ["TFLite int8", "ONNX int8"]
    run = dataclasses.replace(analysis.run, variants=analysis.variants[3:])
    assert headlines(Analysis(analysis.result, run)) == ()


def _notes(analysis: Analysis, **changes: object) -> str:
    run = dataclasses.replace(analysis.run, **changes)  # type: ignore[arg-type]
    return "\n".join(notes(Analysis(analysis.result, run)))


def test_warnings(analysis: Analysis) -> None:
    """A busy, hot or throttled machine, a changing clock and repeats that differ are noted."""
    run = analysis.run
    noisy_repeat = dataclasses.replace(
        run.variants[1].repeats[0],
        latencies_us=tuple(5 * value for value in run.variants[1].repeats[0].latencies_us),
    )
    noisy = dataclasses.replace(
        run.variants[1], repeats=(noisy_repeat, *run.variants[1].repeats[1:])
    )
    machine_states = [
        dataclasses.replace(run.machine_states[0], celsius=celsius, mhz=mhz, throttled=flags)
        for celsius, mhz, flags in ((50.0, 1500.0, ()), (83.0, 1000.0, ("under-voltage",)))
    ]
    text = _notes(
        analysis,
        machine=dataclasses.replace(run.machine, load=3.0),
        variants=(run.variants[0], noisy, *run.variants[2:]),
        machine_states=tuple(machine_states),
    )
    assert "load 3.0" in text
    assert "TFLite float32: the slowest repeat's median latency was" in text
    assert "The board reported: under-voltage" in text
    assert "reached 83 °C" in text
    assert "from 1,000 to 1,500 MHz" in text
    quiet = _notes(
        analysis,
        machine=dataclasses.replace(run.machine, load=0.0),
        machine_states=tuple(machine_states[:1]),
    )
    for word in ("busy", "°C", "MHz", "board"):
        assert word not in quiet


def test_machine_facts(result: Result) -> None:
    """What the system does not say is unknown; what is unknown of a board is left out."""
    run = dataclasses.replace(
        result.runs[0],
        machine=dataclasses.replace(result.runs[0].machine, board=None, governor=None),
        machine_states=tuple(
            dataclasses.replace(state, mhz=None, celsius=None, throttled=None)
            for state in result.runs[0].machine_states
        ),
    )
    facts = dict(machine_facts(run))
    assert "board" not in facts
    for name in ("frequency governor", "clock", "temperature", "throttling"):
        assert facts[name] == "unknown"
    assert facts["repeats"] == "4, of up to 50 iterations"
