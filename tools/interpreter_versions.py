"""Compare versions of TFLite's interpreter on one int8 file; write docs/interpreter-versions.md.

    python tools/interpreter_versions.py

Uses the newest export. Installs tflite-runtime 2.14 into a temporary virtual environment, which
needs Python 3.11 and a package index.
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
from typing import TYPE_CHECKING, Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from fmx_runtime.model_file.container import read_metadata
from fmx_runtime.model_file.metadata import ModelMetadata
from fmx_runtime.support.atomic import make_folder, write
from fmx_runtime.support.packages import versions
from fmx_runtime.support.stderr_filter import filter_native_stderr
from fmx_training.data import fashion_mnist

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

DOCUMENT = Path("docs/interpreter-versions.md")
_OLD_PACKAGES = ["tflite-runtime==2.14.0", "numpy<2"]
_CALLS = 20
"""Calls that are timed together."""
_OPERATORS = {value: name for name, value in vars(schema.BuiltinOperator).items() if name[0] != "_"}
_PREDICT_WITH_OLD = """
import sys
import numpy as np
from tflite_runtime.interpreter import Interpreter
model, images, outputs = sys.argv[1:]
interpreter = Interpreter(model)
interpreter.allocate_tensors()
input_index = interpreter.get_input_details()[0]["index"]
output_index = interpreter.get_output_details()[0]["index"]
rows = []
for image in np.load(images):
    interpreter.set_tensor(input_index, image[np.newaxis])
    interpreter.invoke()
    rows.append(interpreter.get_tensor(output_index)[0])
np.save(outputs, rows)
"""


@dataclass(frozen=True)
class Outputs:
    """Output tensors as integers, int64 ``(images, classes)``.

    Attributes:
        new: of ai-edge-litert with XNNPACK, its default.
        builtin: of ai-edge-litert with TFLite's built-in kernels.
        old: of tflite-runtime 2.14.
    """

    new: NDArray[np.int64]
    builtin: NDArray[np.int64]
    old: NDArray[np.int64]


def main() -> None:
    """Run the tool."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=300, help="turns of the timed interpreters")
    options = parser.parse_args()
    path = max(Path("exports").glob("*/*.int8.tflite"), key=lambda file: file.stat().st_mtime)
    metadata = ModelMetadata.from_json(read_metadata(path.read_bytes()))
    model = path.read_bytes()[: metadata.model_bytes]
    images = fashion_mnist.load().validation.images[: options.images]
    with filter_native_stderr():
        rows = list(compare_layers(model, images))
        outputs = Outputs(
            new=predict(model, images),
            builtin=predict(model, images, builtin=True),
            old=predict_with_old_version(model, images),
        )
        latencies_us = measure(model, images[:1], options.repeats)
    make_folder(DOCUMENT.parent)
    write(DOCUMENT, document(rows, outputs, latencies_us))
    print(f"wrote {DOCUMENT}")


def _open(model: bytes, *, builtin: bool) -> Interpreter:
    """Open a model with TFLite's built-in kernels, or with XNNPACK, the default."""
    resolver = "BUILTIN_WITHOUT_DEFAULT_DELEGATES" if builtin else "AUTO"
    interpreter = Interpreter(
        model_content=model, experimental_op_resolver_type=OpResolverType[resolver]
    )
    interpreter.allocate_tensors()
    return interpreter


def predict(model: bytes, images: NDArray[Any], *, builtin: bool = False) -> NDArray[np.int64]:
    """Return the integers of the output tensor, one row per image."""
    interpreter = _open(model, builtin=builtin)
    input_index = interpreter.get_input_details()[0]["index"]
    output_index = interpreter.get_output_details()[0]["index"]
    rows = []
    for image in images:
        interpreter.set_tensor(input_index, image[np.newaxis])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(output_index)[0].ravel())
    return np.array(rows, np.int64)


def predict_with_old_version(model: bytes, images: NDArray[Any]) -> NDArray[np.int64]:
    """Return the same as `predict`, from tflite-runtime 2.14 in a temporary environment."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(model)
        np.save(folder / "images.npy", images)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
        python = folder / "venv" / "bin" / "python"
        pip: list[str | Path] = [sys.executable, "-m", "pip", "-q", "--python", python]
        subprocess.run([*pip, "install", "--only-binary", ":all:", *_OLD_PACKAGES], check=True)
        files = [folder / file for file in ("model.tflite", "images.npy", "outputs.npy")]
        subprocess.run([python, "-c", _PREDICT_WITH_OLD, *files], check=True)
        outputs: NDArray[np.int64] = np.load(files[-1]).astype(np.int64)
        return outputs


def compare_layers(model: bytes, images: NDArray[Any]) -> Iterator[str]:
    """Yield a table row per operator: the model cut off after it, with both kinds of kernels."""
    complete = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
    for index, operator in enumerate(complete.subgraphs[0].operators):
        cut = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
        graph = cut.subgraphs[0]
        graph.operators = graph.operators[: index + 1]
        graph.outputs = [operator.outputs[0]]
        cut.signatureDefs = None
        builder = flatbuffers.Builder(len(model))
        builder.Finish(cut.Pack(builder), b"TFL3")
        content = bytes(builder.Output())
        steps = abs(predict(content, images) - predict(content, images, builtin=True))
        name = _OPERATORS[complete.operatorCodes[operator.opcodeIndex].builtinCode]
        scale = float(graph.tensors[operator.outputs[0]].quantization.scale[0])
        yield (
            f"| {name} | {scale:.4f} | {steps.max()} | {(steps > 0).mean():.2%} "
            f"| {(steps.max(axis=1) > 0).mean():.1%} |"
        )


def measure(model: bytes, image: NDArray[Any], repeats: int) -> tuple[float, float]:
    """Return the microseconds of an inference with XNNPACK and with TFLite's built-in kernels."""
    interpreters = [_open(model, builtin=builtin) for builtin in (False, True)]
    times: list[list[float]] = [[], []]
    for interpreter in interpreters:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    for _ in range(repeats):
        for interpreter, values in zip(interpreters, times, strict=True):
            start = time.perf_counter()
            for _ in range(_CALLS):
                interpreter.invoke()
            values.append((time.perf_counter() - start) / _CALLS * 1e6)
    return statistics.median(times[0]), statistics.median(times[1])


def _difference(first: NDArray[np.int64], second: NDArray[np.int64]) -> str:
    steps = abs(first - second)
    agreement = (first.argmax(axis=1) == second.argmax(axis=1)).mean()
    return f"{steps.max()} of 256 | {(steps.max(axis=1) > 0).mean():.1%} | {agreement:.2%}"


def document(rows: list[str], outputs: Outputs, latencies_us: tuple[float, float]) -> str:
    """Return the page."""
    return TEMPLATE.format(
        images=len(outputs.new),
        version=versions("ai-edge-litert")["ai-edge-litert"],
        default=_difference(outputs.new, outputs.old),
        builtin=_difference(outputs.builtin, outputs.old),
        rows="\n".join(rows),
        xnnpack_us=latencies_us[0],
        builtin_us=latencies_us[1],
    )


TEMPLATE = """# One int8 file in several versions of the interpreter

Written by `make interpreter-versions`, with the int8 TFLite file of the newest export, {images:,}
validation images, ai-edge-litert {version} and tflite-runtime 2.14.0, on one machine.

An int8 file computes with integers, but two versions of TFLite's interpreter do not always return
the same results:

| compared | largest difference of a probability | images with a difference | same label |
| --- | ---: | ---: | ---: |
| {version} and 2.14.0, both with their defaults | {default} |
| {version} with TFLite's built-in kernels, and 2.14.0 | {builtin} |

TFLite's built-in kernels did not change. The newer version delegates quantized layers to XNNPACK,
the older one does not. Both multiply the sum of a layer by a factor and round it to 8 bits. XNNPACK
rounds once, to the nearest step. TFLite rounds twice, first to an integer and then to a step, so
values just below the middle of two steps are rounded up. The softmax is the same in both.

## Which layers differ

The model cut off after each operator, XNNPACK compared with TFLite's built-in kernels:

| operator | size of a step | largest difference, steps | values | images |
| --- | ---: | ---: | ---: | ---: |
{rows}

In each layer few values differ, by at most one step. Before the softmax that is one step of a
logit. If two labels are about equally probable, the softmax changes their probabilities by up to a
quarter of that. The label changes only if two labels were about equally probable.
In deeper networks the differences add up, see [export.md](export.md).

## Consequences

- The softmax stays in the file. Without it, it would be computed from the same logits, with the
  same step between them, and other tools would get logits.
- XNNPACK stays on: an inference takes {xnnpack_us:.1f} µs, and {builtin_us:.1f} µs without it.
- The test vectors of `fmx-run --self-test` are images on which both kinds of kernels differ least.
  So the self-test detects a broken interpreter, not an older one. Its tolerance for int8 is 0.1,
  which covers two equal logits of which one grows by a step of 0.2 and the other shrinks by one.
"""


if __name__ == "__main__":
    main()
