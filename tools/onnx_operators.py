"""Writes docs/onnx-speed.md: where the microseconds of the ONNX files go, operator by operator.

``make onnx-speed`` runs it, on the newest training run of the recipe ``baseline``.
"""

# ruff: noqa: INP001, T201, TID253 (a script that prints, no package)

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import onnxruntime

from fmx_export.common.quantization_config import QuantizationConfig
from fmx_export.onnx.calibrate import calibrate_onnx
from fmx_export.onnx.convert import export_onnx, serialize
from fmx_export.onnx.quantize import fuse_operators, prepare_onnx, quantize_onnx
from fmx_export.onnx.uint8_input import to_uint8_input
from fmx_export.pipeline.export import host_target
from fmx_runtime.bench.machine import describe
from fmx_runtime.images.preprocess import to_tensor
from fmx_runtime.support.atomic import write
from fmx_runtime.support.stderr_filter import filter_native_stderr
from fmx_training import run_folder as runs
from fmx_training.data import fashion_mnist

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from fmx_training.run_folder import Run

_DOCUMENT = Path("docs/onnx-speed.md")
_ROUNDS, _CALLS, _WARM_UP, _PROFILED = 300, 20, 1000, 5000


def main() -> None:
    """Convert, measure, write the document."""
    run = runs.newest_run(Path("runs"), finished=True)
    splits = fashion_mnist.load()
    sample = splits.train.balanced_sample(500, 0).images
    with filter_native_stderr():
        models = _models(run, sample)
        image = splits.validation.images[:1]
        sessions = {name: _Session(model, image, run) for name, model in models.items()}
        medians = _interleaved({name: session.call for name, session in sessions.items()})
        operators = {name: _profile(model, sessions[name].feed) for name, model in models.items()}
    write(_DOCUMENT, _document(medians, operators))
    print(f"wrote {_DOCUMENT}")


def _models(run: Run, sample: NDArray[np.uint8]) -> dict[str, bytes]:
    """The float file, int8 as onnxruntime's quantizer makes it, and int8 as it is exported."""
    spec, config = run.info.input, QuantizationConfig()
    floats = export_onnx(keras.models.load_model(run.model_path, compile=False), spec=spec)
    models = {"float32": serialize(floats)}
    for name, network in (("before", fuse_operators(floats)), ("after", prepare_onnx(floats))):
        ranges = calibrate_onnx(network, spec=spec, calibration=sample, config=config)
        quantized = quantize_onnx(
            network, spec=spec, ranges=ranges, config=config, target=host_target()
        )
        models[f"int8, {name}"] = serialize(
            quantized if name == "before" else to_uint8_input(quantized, spec)
        )
    return models


class _Session:
    """A model, opened with one thread, and one image for it."""

    def __init__(self, model: bytes, image: NDArray[np.uint8], run: Run) -> None:
        self._session = onnxruntime.InferenceSession(
            model, _options(), providers=["CPUExecutionProvider"]
        )
        decoded = self._session.get_inputs()[0]
        takes_bytes = decoded.type == "tensor(uint8)"
        self.feed = {decoded.name: image if takes_bytes else to_tensor(image, run.info.input)}

    def call(self) -> None:
        """Answer the image."""
        self._session.run(None, self.feed)


def _options() -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options


def _interleaved(calls: Mapping[str, Callable[[], None]]) -> dict[str, float]:
    """Median microseconds of a call, the models taking turns."""
    for call in calls.values():
        for _ in range(_WARM_UP):
            call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(_ROUNDS):
        for name, call in calls.items():
            start = time.perf_counter_ns()
            for _ in range(_CALLS):
                call()
            times[name].append((time.perf_counter_ns() - start) / _CALLS / 1000)
    return {name: float(np.median(values)) for name, values in times.items()}


def _profile(model: bytes, feed: dict[str, NDArray[Any]]) -> list[tuple[str, float]]:
    """Operators in their order, with the median microseconds that onnxruntime's profiler tells."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="fmx-") as folder:
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder, "profile"))
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        for _ in range(_PROFILED):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text("utf-8"))
    durations: dict[tuple[str, str], list[int]] = {}
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            durations.setdefault((event["args"]["op_name"], event["name"]), []).append(event["dur"])
    # whole microseconds, so the mean tells more than the median; the slowest tenth is the machine's
    return [
        (operator, float(np.mean(np.sort(values)[: len(values) * 9 // 10])))
        for (operator, _), values in durations.items()
    ]


def _document(medians: dict[str, float], operators: dict[str, list[tuple[str, float]]]) -> str:
    reference = medians["float32"]
    rows = "\n".join(
        f"| {name} | {value:.1f} | {reference / value:.2f}x |" for name, value in medians.items()
    )
    tables = "\n\n".join(
        f"### {name}\n\n| operator | µs |\n| --- | ---: |\n"
        + "\n".join(f"| {operator} | {value:.1f} |" for operator, value in steps)
        + f"\n| *sum* | {sum(value for _, value in steps):.1f} |"
        for name, steps in operators.items()
    )
    return _TEMPLATE.format(
        machine=describe().processor,
        onnxruntime=onnxruntime.__version__,
        rows=rows,
        tables=tables,
        rounds=_ROUNDS,
        calls=_CALLS,
        profiled=_PROFILED,
    )


_TEMPLATE = """# Where the microseconds of int8 ONNX go

`make onnx-speed` wrote this page: the newest training run of `baseline`, one thread, one image
at a time, on {machine} with onnxruntime {onnxruntime}. The three files took turns, {rounds}
rounds of {calls} calls each; the figure is the median.

| file | one image, µs | speed |
| --- | ---: | ---: |
{rows}

*Before* is what onnxruntime's quantizer makes of the float file (QDQ, unsigned activations,
signed weights per channel), float pixels going in. *After* is what `fmx export --int8` writes:

- A pixel's byte is its own quantized value, so bytes go in and nothing is converted. (The
  quantizer lays the input's range down from the calibration images; fmx lays it down from what
  a byte means.)
- The first convolution works on blocks of 2x2 pixels. onnxruntime's integer convolution gathers
  its inputs channel by channel, which for an image of one channel is a copy of one byte at a
  time: that took longer than all the arithmetic of the layer. With the four pixels of a block as
  four channels, and the kernel spread over the blocks, the sums stay the same and the copies are
  gone. The one transposition that is left brings the pixels of a block together; those that only
  move the axis of the one channel are gone.
- The four results of a block lie side by side as channels, so max pooling takes the largest of
  neighbours.
- The last matrix product gives floats at once, which spares a rounding and a conversion, and
  probabilities are not rounded.

## By operator

As onnxruntime runs them, after its own optimization; mean of the fastest nine tenths of
{profiled} runs under its profiler, which adds about two microseconds to each operator.

{tables}
"""


if __name__ == "__main__":
    main()
