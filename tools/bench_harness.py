"""Measure the harness itself, and how well benchmarks repeat; writes docs/bench-harness.md.

Wants a quiet machine and an export in exports/.
"""
# ruff: noqa: INP001, T201 (a program)

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fmx_benchmarks.report.table import title
from fmx_benchmarks.statistics.analysis import Analysis
from fmx_runtime.bench.latency import time_calls
from fmx_runtime.bench.machine import describe
from fmx_runtime.bench.result import Result
from fmx_runtime.support.atomic import write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_DOCUMENT = Path("docs/bench-harness.md")
_RUNS, _ROUNDS, _CALLS = 5, 30, 2000
_MODEL_US = 25.0


def main() -> None:
    """Measure, and write the document."""
    folder = max(Path("exports").glob("*/manifest.json"), key=lambda file: file.stat().st_mtime)
    files = sorted(path for path in folder.parent.iterdir() if path.suffix in {".tflite", ".onnx"})
    overhead = _overhead()
    runs = [_run(files) for _ in range(_RUNS)]
    write(_DOCUMENT, _document(overhead, runs))
    print(f"wrote {_DOCUMENT}")


def _busy(_: object) -> None:
    """A model that takes 25 microseconds: it looks at the clock until they are over."""
    end = time.perf_counter_ns() + _MODEL_US * 1000
    while time.perf_counter_ns() < end:
        pass


def _overhead() -> tuple[float, float, float]:
    """Microseconds: a call of nothing, a 25-microsecond model timed, the same timed as a whole.

    The last one is the time of many calls over their number, with two looks at the clock in all.
    """
    one = np.zeros((1, 28, 28, 1), np.uint8)

    def nothing(_: object) -> None:
        pass

    def timed(model: Callable[[object], None]) -> float:
        return statistics.median(time_calls(model, one, calls=_CALLS, warmup=50))

    def whole() -> float:
        start = time.perf_counter_ns()
        for _ in range(_CALLS):
            _busy(one)
        return (time.perf_counter_ns() - start) / _CALLS / 1000

    rounds = [(timed(nothing), timed(_busy), whole()) for _ in range(_ROUNDS)]
    columns = [statistics.median(column) for column in zip(*rounds, strict=True)]
    return columns[0], columns[1], columns[2]


def _run(files: Sequence[Path]) -> Result:
    """One benchmark of the files, as a user starts it."""
    with tempfile.TemporaryDirectory() as name:
        command = [Path(sys.executable).with_name("fmx"), "bench", *files, "-o", name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return Result.from_json(Path(name, "result.json").read_text("utf-8"))


def _document(overhead: tuple[float, float, float], results: Sequence[Result]) -> str:
    machine = describe()
    every = [Analysis(result, result.runs[0]) for result in results]
    names = [title(variant, every[0].run) for variant in every[0].variants]
    medians = [[one.latency_us(variant, 50) for variant in one.variants] for one in every]
    rows, worst = [], 0.0
    for index, name in enumerate(names):
        for other in range(index):
            ratios = [one[other] / one[index] for one in medians]
            spread = 100 * (max(ratios) / min(ratios) - 1)
            worst = max(worst, spread)
            cells = " | ".join(f"{ratio:.3f}" for ratio in ratios)
            rows.append(f"| {names[other]} / {name} | {cells} | {spread:.1f} % |")
    empty, busy, whole = overhead
    return "\n".join(
        [
            "# What the harness costs, and how well it repeats",
            "",
            f"`make bench-harness` wrote this page, on {machine.processor}, {machine.cores} cores,",
            f"load {machine.load:.1f} at the end.",
            "",
            "## Cost of a sample",
            "",
            "| | µs |",
            "| --- | ---: |",
            f"| a call that does nothing, timed by `time_calls` | {empty:.3f} |",
            f"| a call that lasts {_MODEL_US:.0f} µs, timed by `time_calls` | {busy:.3f} |",
            f"| the same, {_CALLS:,} of them timed as a whole | {whole:.3f} |",
            "",
            f"A sample holds {empty:.2f} µs that are not the model's, a call among them;",
            "wanted was less than 1 µs.",
            "",
            "## Five runs of `fmx bench`",
            "",
            "Ratios of the median times of a single image, one after the other:",
            "",
            f"| | {' | '.join(f'run {n + 1}' for n in range(len(results)))} | largest / smallest |",
            f"| --- | {' | '.join('---:' for _ in results)} | ---: |",
            *rows,
            "",
            f"The ratio that moved most moved by {worst:.1f} %; wanted was less than 5 %.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
