"""The worker process of a reference tool: prints one figure in microseconds.

::

    python -m fmx_benchmarks.measure.reference_tool_worker MEASUREMENT CORE MODEL IMAGES.npy

MEASUREMENT is a key of `MEASUREMENTS`, CORE the number of a processor core or ``-``. The processes
are started by `fmx_benchmarks.measure.reference_tools`.
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

__all__ = ["MEASUREMENTS"]

_ITERATIONS = 2000
_WARMUP = 100
_BYTES_PER_MIB = 1 << 20


def fmx_network(model: Path, _: Path) -> float:
    """Measure with fmx: the mean time of the network alone, without writing input or output."""
    from fmx_runtime.backends.selection import open_backend

    content = read_model(model)
    metadata = read_checked_metadata(content)
    backend: Any = open_backend(content[: metadata.model_bytes], backend=None, threads=1)
    pixels = np.random.default_rng(0).integers(0, 256, (1, *metadata.input.shape), np.uint8)
    backend.run(to_tensor(pixels, metadata.input))
    times = time_calls(
        lambda _: backend.invoke(),  # on the input above
        pixels,
        iterations=_ITERATIONS,
        warmup=_WARMUP,
    )
    return statistics.fmean(times)


def fmx_compiled_model(model: Path, _: Path) -> float:
    """Measure with fmx: the mean time of the call that LiteRT's own tool times."""
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
    unused = np.zeros((1, 1, 1, 1), np.uint8)
    times = time_calls(
        lambda _: opened.run_by_name(signature, *buffers),
        unused,
        iterations=_ITERATIONS,
        warmup=_WARMUP,
    )
    return statistics.fmean(times)


def fmx_prediction(model: Path, images: Path) -> float:
    """Measure with fmx: the median latency from an image's pixels to its scores."""
    predict, loaded = Classifier(model).predict, np.load(images)
    return statistics.median(time_calls(predict, loaded, iterations=_ITERATIONS, warmup=_WARMUP))


def litert_benchmark(model: Path, _: Path) -> float:
    """Measure with LiteRT's own tool: the mean time of the network alone.

    The tool rounds its times to 10 microseconds, but not its throughput, which is the input
    tensor's size divided by the mean time.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "result.json")
        sys.argv = [
            "litert-benchmark",
            *("--model", str(model)),
            *("--num_runs", str(_ITERATIONS)),
            *("--warmup_runs", str(_WARMUP)),
            *("--num_threads", "1"),
            *("--result_json", str(report)),
        ]
        with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(SystemExit):
            runpy.run_module("ai_edge_litert.tools.benchmark_litert_model", run_name="__main__")
        reported = json.loads(report.read_text("utf-8"))
    spec = read_checked_metadata(read_model(model)).input
    size = np.dtype(spec.dtype).itemsize * int(np.prod(spec.shape))
    return float(size / _BYTES_PER_MIB / reported["throughput_mb_s"] * 1e6)


def onnxruntime_session(model: Path, images: Path) -> float:
    """Measure with onnxruntime alone: the median time of ``session.run``."""
    import onnxruntime

    spec = read_checked_metadata(read_model(model)).input
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    inputs = [to_tensor(image[np.newaxis], spec) for image in np.load(images)[:_WARMUP]]
    for tensor in inputs:
        session.run(None, {name: tensor})
    times = []
    for index in range(_ITERATIONS):
        tensor = inputs[index % len(inputs)]
        start = time.perf_counter()
        session.run(None, {name: tensor})
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def loadgen(model: Path, images: Path) -> float:
    """Measure with MLPerf LoadGen: the median latency of its SingleStream scenario."""
    return _single_stream(Classifier(model).predict, np.load(images))


def loadgen_overhead(_: Path, images: Path) -> float:
    """Measure LoadGen and its Python binding alone, with a model that does nothing."""
    return _single_stream(lambda _: None, np.load(images))


def _single_stream(predict: Callable[[NDArray[np.uint8]], Any], images: NDArray[np.uint8]) -> float:
    import mlperf_loadgen as lg

    singles = [images[i : i + 1] for i in range(min(len(images), _WARMUP))]
    for image in singles:
        predict(image)

    def issue(queries: list[Any]) -> None:
        for query in queries:
            predict(singles[query.index])
            lg.QuerySamplesComplete([lg.QuerySampleResponse(query.id, 0, 0)])

    settings = lg.TestSettings()
    settings.scenario = lg.TestScenario.SingleStream
    settings.mode = lg.TestMode.PerformanceOnly
    settings.min_duration_ms = 0
    settings.min_query_count = settings.max_query_count = _ITERATIONS
    with tempfile.TemporaryDirectory() as folder:
        log = lg.LogSettings()
        log.log_output.outdir = folder
        log.log_output.copy_summary_to_stdout = False
        log.enable_trace = False
        sut = lg.ConstructSUT(issue, lambda: None)
        samples = lg.ConstructQSL(len(singles), len(singles), lambda _: None, lambda _: None)
        lg.StartTestWithLogSettings(sut, samples, settings, log)
        lg.DestroyQSL(samples)
        lg.DestroySUT(sut)
        summary = Path(folder, "mlperf_log_summary.txt").read_text("utf-8")
    found = re.search(r"50\.00 percentile latency \(ns\)\s*:\s*(\d+)", summary)
    assert found is not None, summary  # noqa: S101 (LoadGen always writes it)
    return int(found[1]) / 1000


MEASUREMENTS: dict[str, Callable[[Path, Path], float]] = {
    "network": fmx_network,
    "compiled-model": fmx_compiled_model,
    "prediction": fmx_prediction,
    "litert-benchmark": litert_benchmark,
    "onnxruntime": onnxruntime_session,
    "loadgen": loadgen,
    "loadgen-overhead": loadgen_overhead,
}


if __name__ == "__main__":
    measurement, core, *paths = sys.argv[1:]
    if core != "-":
        os.sched_setaffinity(0, {int(core)})
    with filter_native_stderr():
        figure = MEASUREMENTS[measurement](Path(paths[0]), Path(paths[1]))
    sys.stdout.write(f"{figure}\n")
