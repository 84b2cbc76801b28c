"""One figure of one tool, in microseconds: the processes that `fmx_benchmarks.measure.reference_tools` starts.

::

    python -m fmx_benchmarks.measure.reference_tool_worker TOOL CORE MODEL IMAGES.npy

prints the figure. CORE is a number, or ``-``.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import runpy
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fmx_runtime.bench.latency import time_calls
from fmx_runtime.classifier import Classifier
from fmx_runtime.images.preprocess import to_tensor
from fmx_runtime.model_file.container import read_checked_metadata, read_model
from fmx_runtime.support.stderr_filter import filter_native_stderr

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["TOOLS"]

_CALLS, _WARMUP = 2000, 100
_MIB = 1 << 20


def network(model: Path, _: Path) -> float:
    """Ours: the mean time of the network alone, no input written and no output read."""
    from fmx_runtime.backends.selection import open_backend

    content = read_model(model)
    metadata = read_checked_metadata(content)
    backend: Any = open_backend(content[: metadata.model_bytes], backend=None, threads=1)
    pixels = np.random.default_rng(0).integers(0, 256, (1, *metadata.input.shape), np.uint8)
    backend.run(to_tensor(pixels, metadata.input))
    # the array that is handed over is not looked at
    times = time_calls(lambda _: backend.invoke(), pixels, calls=_CALLS, warmup=_WARMUP)
    return statistics.fmean(times)


def compiled(model: Path, _: Path) -> float:
    """Ours: the mean time of the call that LiteRT's own tool times, in our loop."""
    api = importlib.import_module("ai_edge_litert.compiled_model")
    opened = api.CompiledModel.from_file(str(model))
    signature = next(iter(opened.get_signature_list()))
    pairs = (
        (opened.get_input_tensor_details, opened.create_input_buffer_by_name),
        (opened.get_output_tensor_details, opened.create_output_buffer_by_name),
    )
    buffers = [
        {name: create(signature, name) for name in details(signature)} for details, create in pairs
    ]
    nothing = np.zeros((1, 1, 1, 1), np.uint8)
    times = time_calls(
        lambda _: opened.run_by_name(signature, *buffers), nothing, calls=_CALLS, warmup=_WARMUP
    )
    return statistics.fmean(times)


def answer(model: Path, images: Path) -> float:
    """Ours: the median time from the pixels of an image to its probabilities."""
    predict, loaded = Classifier(model).predict, np.load(images)
    return statistics.median(time_calls(predict, loaded, calls=_CALLS, warmup=_WARMUP))


def litert_benchmark(model: Path, _: Path) -> float:
    """LiteRT's own tool: the mean time of the network alone.

    Its times are rounded to 10 microseconds, but not its throughput, which is the input tensor's
    size over the mean time.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "result.json")
        counts = ["--num_runs", str(_CALLS), "--warmup_runs", str(_WARMUP), "--num_threads", "1"]
        sys.argv = [
            "litert-benchmark",
            "--model",
            str(model),
            *counts,
            "--result_json",
            str(report),
        ]
        with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(SystemExit):
            runpy.run_module("ai_edge_litert.tools.benchmark_litert_model", run_name="__main__")
        found = json.loads(report.read_text("utf-8"))
    spec = read_checked_metadata(read_model(model)).input
    size = np.dtype(spec.dtype).itemsize * int(np.prod(spec.shape))
    return float(size / _MIB / found["throughput_mb_s"] * 1e6)


def onnxruntime_loop(model: Path, images: Path) -> float:
    """The median time of ``session.run``, as its users write it."""
    import onnxruntime

    spec = read_checked_metadata(read_model(model)).input
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    inputs = [to_tensor(one[np.newaxis], spec) for one in np.load(images)[:_WARMUP]]
    for one in inputs:
        session.run(None, {name: one})
    times = []
    for index in range(_CALLS):
        one = inputs[index % len(inputs)]
        start = time.perf_counter()
        session.run(None, {name: one})
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def loadgen(model: Path, images: Path) -> float:
    """MLPerf's LoadGen: the median latency of its SingleStream scenario."""
    return _single_stream(Classifier(model).predict, np.load(images))


def loadgen_alone(_: Path, images: Path) -> float:
    """The same of a model that does nothing: what LoadGen and its Python binding take."""
    return _single_stream(lambda _: None, np.load(images))


def _single_stream(predict: Callable[[NDArray[np.uint8]], Any], images: NDArray[np.uint8]) -> float:
    import mlperf_loadgen as lg

    ones = [images[i : i + 1] for i in range(min(len(images), _WARMUP))]
    for one in ones:
        predict(one)

    def issue(queries: list[Any]) -> None:
        for query in queries:
            predict(ones[query.index])
            lg.QuerySamplesComplete([lg.QuerySampleResponse(query.id, 0, 0)])

    settings = lg.TestSettings()
    settings.scenario = lg.TestScenario.SingleStream
    settings.mode = lg.TestMode.PerformanceOnly
    settings.min_duration_ms = 0
    settings.min_query_count = settings.max_query_count = _CALLS
    with tempfile.TemporaryDirectory() as folder:
        log = lg.LogSettings()
        log.log_output.outdir = folder
        log.log_output.copy_summary_to_stdout = False
        log.enable_trace = False
        sut = lg.ConstructSUT(issue, lambda: None)
        samples = lg.ConstructQSL(len(ones), len(ones), lambda _: None, lambda _: None)
        lg.StartTestWithLogSettings(sut, samples, settings, log)
        lg.DestroyQSL(samples)
        lg.DestroySUT(sut)
        summary = Path(folder, "mlperf_log_summary.txt").read_text("utf-8")
    found = re.search(r"50\.00 percentile latency \(ns\)\s*:\s*(\d+)", summary)
    assert found is not None, summary  # noqa: S101 (LoadGen always writes it)
    return int(found[1]) / 1000


TOOLS: dict[str, Callable[[Path, Path], float]] = {
    "network": network,
    "compiled": compiled,
    "answer": answer,
    "litert-benchmark": litert_benchmark,
    "onnxruntime": onnxruntime_loop,
    "loadgen": loadgen,
    "loadgen-alone": loadgen_alone,
}


if __name__ == "__main__":
    tool, core, *paths = sys.argv[1:]
    if core != "-":
        os.sched_setaffinity(0, {int(core)})
    with filter_native_stderr():
        figure = TOOLS[tool](Path(paths[0]), Path(paths[1]))
    sys.stdout.write(f"{figure}\n")
