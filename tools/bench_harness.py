"""Measure the overhead and the repeatability of the benchmark, and write docs/bench-harness.md.

    python tools/bench_harness.py

Needs an export in exports/ and a quiet machine.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fmx_benchmarks.statistics.analysis import Analysis
from fmx_benchmarks.statistics.display_names import model_title
from fmx_runtime.bench.latency import time_calls
from fmx_runtime.bench.machine import describe
from fmx_runtime.bench.result import Result
from fmx_runtime.support.atomic import make_folder, write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DOCUMENT = Path("docs/bench-harness.md")
_MODEL_US = 25.0
"""Duration of the simulated model in microseconds."""
_WARMUP = 50


@dataclass(frozen=True)
class Overhead:
    """Medians in microseconds.

    Attributes:
        empty: a call that does nothing, timed by `time_calls`.
        model: a call of the simulated model, timed by `time_calls`.
        total: the duration of many calls of the simulated model, divided by their number.
    """

    empty: float
    model: float
    total: float


def main() -> None:
    """Run the tool."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="Options that are not listed here are passed to 'fmx bench', such as --repeats.",
    )
    parser.add_argument("--runs", type=int, default=5, help="runs of 'fmx bench'")
    parser.add_argument("--calls", type=int, default=2000, help="calls timed for the overhead")
    options, bench_options = parser.parse_known_args()
    manifests = Path("exports").glob("*/manifest.json")
    folder = max(manifests, key=lambda file: file.stat().st_mtime).parent
    files = sorted(path for path in folder.iterdir() if path.suffix in {".tflite", ".onnx"})
    overhead = measure_overhead(options.calls)
    results = [_bench([*files, *bench_options]) for _ in range(options.runs)]
    make_folder(DOCUMENT.parent)
    write(DOCUMENT, document(overhead, results, options.calls))
    print(f"wrote {DOCUMENT}")


def measure_overhead(calls: int, repeats: int = 30) -> Overhead:
    """Measure what `time_calls` adds to the duration of a call.

    Args:
        calls: number of calls in each repeat.
        repeats: the medians are over this many repeats.
    """
    image = np.zeros((1, 28, 28, 1), np.uint8)

    def timed(model: Callable[[object], None]) -> float:
        return statistics.median(time_calls(model, image, iterations=calls, warmup=_WARMUP))

    def total() -> float:
        start = time.perf_counter_ns()
        for _ in range(calls):
            _simulated_model(image)
        return (time.perf_counter_ns() - start) / calls / 1000

    rows = [(timed(_do_nothing), timed(_simulated_model), total()) for _ in range(repeats)]
    return Overhead(*(statistics.median(column) for column in zip(*rows, strict=True)))


def _do_nothing(_: object) -> None:
    pass


def _simulated_model(_: object) -> None:
    """Read the clock until `_MODEL_US` are over."""
    end = time.perf_counter_ns() + _MODEL_US * 1000
    while time.perf_counter_ns() < end:
        pass


def _bench(arguments: Sequence[Path | str]) -> Result:
    """Run ``fmx bench`` once, as a user would, and return its result."""
    with tempfile.TemporaryDirectory() as name:
        command = [Path(sys.executable).with_name("fmx"), "bench", *arguments, "-o", name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return Result.from_json(Path(name, "result.json").read_text("utf-8"))


def document(overhead: Overhead, results: Sequence[Result], calls: int) -> str:
    """Return the page."""
    machine = describe()
    analyses = [Analysis(result, result.runs[0]) for result in results]
    names = [model_title(variant, analyses[0].run) for variant in analyses[0].variants]
    medians = [[one.latency_us(variant, 50) for variant in one.variants] for one in analyses]
    rows, worst = [], 0.0
    for index, name in enumerate(names):
        for other in range(index):
            ratios = [one[other] / one[index] for one in medians]
            spread = 100 * (max(ratios) / min(ratios) - 1)
            worst = max(worst, spread)
            cells = " | ".join(f"{ratio:.3f}" for ratio in ratios)
            rows.append(f"| {names[other]} / {name} | {cells} | {spread:.1f} % |")
    return TEMPLATE.format(
        processor=machine.processor,
        cores=machine.cores,
        load=machine.load,
        overhead=overhead,
        model_us=_MODEL_US,
        calls=calls,
        runs=len(results),
        run_names=" | ".join(f"run {number + 1}" for number in range(len(results))),
        rulers=" | ".join("---:" for _ in results),
        rows="\n".join(rows),
        worst=worst,
    )


TEMPLATE = """# Overhead and repeatability of the benchmark

Written by `make bench-harness`, on {processor}, {cores} cores, load {load:.1f} at the end.

## Overhead of timing

| | µs |
| --- | ---: |
| a call that does nothing, timed by `time_calls` | {overhead.empty:.3f} |
| a call that takes {model_us:.0f} µs, timed by `time_calls` | {overhead.model:.3f} |
| the same call, {calls:,} of them timed together | {overhead.total:.3f} |

A latency includes {overhead.empty:.2f} µs that are not the model's. The target was less than 1 µs.

## Repeatability of `fmx bench`

Ratios of the latencies p50 of two files, in {runs} runs one after the other:

| | {run_names} | largest / smallest |
| --- | {rulers} | ---: |
{rows}

The largest change of a ratio is {worst:.1f} %. The target was less than 5 %.
"""


if __name__ == "__main__":
    main()
