"""Measure the time per operator of the exported ONNX files, and write docs/onnx-speed.md.

    python tools/onnx_operators.py

Uses the newest finished training run in runs/. Needs a quiet machine.
"""

from __future__ import annotations

import argparse
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
from fmx_runtime.support.atomic import make_folder, write
from fmx_runtime.support.stderr_filter import filter_native_stderr
from fmx_training import run_folder
from fmx_training.data import fashion_mnist

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from fmx_training.run_folder import Run

DOCUMENT = Path("docs/onnx-speed.md")
_CALIBRATION_IMAGES = 500
_CALLS = 20
"""Calls that are timed together."""
_WARMUP = 1000


def main() -> None:
    """Run the tool."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=300, help="turns of the models")
    parser.add_argument("--profiled", type=int, default=5000, help="calls under the profiler")
    options = parser.parse_args()
    run = run_folder.newest_run(Path("runs"), finished=True)
    splits = fashion_mnist.load()
    sample = splits.train.balanced_sample(_CALIBRATION_IMAGES, 0).images
    with filter_native_stderr():
        models = convert_models(run, sample)
        image = splits.validation.images[:1]
        sessions = {name: _Session(model, image, run) for name, model in models.items()}
        medians_us = measure({name: one.run for name, one in sessions.items()}, options.repeats)
        operators_us = {
            name: profile(model, sessions[name].feed, options.profiled)
            for name, model in models.items()
        }
    make_folder(DOCUMENT.parent)
    write(DOCUMENT, document(run.info.recipe.name, medians_us, operators_us, options))
    print(f"wrote {DOCUMENT}")


def convert_models(run: Run, sample: NDArray[np.uint8]) -> dict[str, bytes]:
    """Return the float32 file, and the int8 files of onnxruntime's quantizer and of fmx."""
    spec, config = run.info.input, QuantizationConfig()
    float_model = export_onnx(keras.models.load_model(run.model_path, compile=False), spec=spec)
    models = {"float32": serialize(float_model)}
    for name, network in (
        ("before", fuse_operators(float_model)),
        ("after", prepare_onnx(float_model)),
    ):
        ranges = calibrate_onnx(network, spec=spec, calibration=sample, config=config)
        quantized = quantize_onnx(
            network, spec=spec, ranges=ranges, config=config, target=host_target()
        )
        models[f"int8, {name}"] = serialize(
            quantized if name == "before" else to_uint8_input(quantized, spec)
        )
    return models


class _Session:
    """A model that is loaded with one thread, and an input for it."""

    def __init__(self, model: bytes, image: NDArray[np.uint8], run: Run) -> None:
        self._session = onnxruntime.InferenceSession(
            model, _session_options(), providers=["CPUExecutionProvider"]
        )
        (model_input,) = self._session.get_inputs()
        takes_bytes = model_input.type == "tensor(uint8)"
        self.feed = {model_input.name: image if takes_bytes else to_tensor(image, run.info.input)}

    def run(self) -> None:
        """Run the model once."""
        self._session.run(None, self.feed)


def _session_options() -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options


def measure(calls: Mapping[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Return the median duration of each call in microseconds, measured in turns."""
    for call in calls.values():
        for _ in range(_WARMUP):
            call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter_ns()
            for _ in range(_CALLS):
                call()
            times[name].append((time.perf_counter_ns() - start) / _CALLS / 1000)
    return {name: float(np.median(values)) for name, values in times.items()}


def profile(model: bytes, feed: dict[str, NDArray[Any]], calls: int) -> list[tuple[str, float]]:
    """Return the operators in their order, with their durations in microseconds."""
    options = _session_options()
    with tempfile.TemporaryDirectory(prefix="fmx-") as folder:
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder, "profile"))
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        for _ in range(calls):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text("utf-8"))
    durations: dict[tuple[str, str], list[int]] = {}
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            durations.setdefault((event["args"]["op_name"], event["name"]), []).append(event["dur"])
    # The profiler reports whole microseconds, so a mean is more precise than a median. The slowest
    # tenth is left out: other processes caused it.
    return [
        (operator, float(np.mean(np.sort(values)[: max(1, len(values) * 9 // 10)])))
        for (operator, _), values in durations.items()
    ]


def document(
    recipe: str,
    medians_us: dict[str, float],
    operators_us: dict[str, list[tuple[str, float]]],
    options: argparse.Namespace,
) -> str:
    """Return the page."""
    reference = medians_us["float32"]
    rows = "\n".join(
        f"| {name} | {value:.1f} | {reference / value:.2f}x |" for name, value in medians_us.items()
    )
    tables = "\n\n".join(
        f"### {name}\n\n| operator | µs |\n| --- | ---: |\n"
        + "\n".join(f"| {operator} | {value:.1f} |" for operator, value in steps)
        + f"\n| *sum* | {sum(value for _, value in steps):.1f} |"
        for name, steps in operators_us.items()
    )
    return TEMPLATE.format(
        recipe=recipe,
        machine=describe().processor,
        onnxruntime=onnxruntime.__version__,
        rows=rows,
        tables=tables,
        repeats=options.repeats,
        calls=_CALLS,
        profiled=options.profiled,
    )


TEMPLATE = """# Time per operator of int8 ONNX files

Written by `make onnx-speed`, for the newest training run (`{recipe}`), with one thread and one
image at a time, on {machine} with onnxruntime {onnxruntime}. The three files were measured in
turns, {repeats} times {calls} calls each. The figures are medians.

| file | one image, µs | speed |
| --- | ---: | ---: |
{rows}

*Before* is the float file quantized by onnxruntime's quantizer (QDQ, unsigned activations, signed
weights per channel), with a float input. *After* is the file that `fmx export --int8` writes. The
differences are:

- The input is uint8. The byte of a pixel is its own quantized value, so nothing is converted.
  (The quantizer takes the range of the input from the calibration images; fmx takes it from the
  meaning of the bytes.)
- The first convolution is transformed by space-to-depth and works on blocks of 2x2 pixels.
  onnxruntime's integer convolution gathers its inputs channel by channel. For an image with one
  channel that means copying single bytes, which took longer than the arithmetic of the layer. With
  the four pixels of a block as four channels, and the kernel rearranged accordingly, the sums are
  the same and the copies are gone. One transposition is left, which gathers the pixels of a block.
  Transpositions that only move the axis of the single channel are removed.
- The four results of a block are neighboring channels, so max pooling takes the largest of
  neighboring channels.
- The last matrix product returns floats, which saves a rounding and a conversion, and the
  probabilities are not rounded.

## By operator

The operators after onnxruntime's own optimization. The figures are means of the fastest nine tenths
of {profiled} calls under its profiler, which adds about two microseconds to each operator.

{tables}
"""


if __name__ == "__main__":
    main()
