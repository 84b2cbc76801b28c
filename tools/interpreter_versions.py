"""Writes docs/interpreter-versions.md: why one int8 file answers a little otherwise elsewhere.

``make interpreter-versions`` runs it, on the newest export. It installs tflite-runtime 2.14 into a
virtual environment of its own, which takes Python 3.11.
"""

# ruff: noqa: INP001, T201, TID253 (a script that prints, no package)

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from fmx_runtime.model_file.container import read_metadata
from fmx_runtime.model_file.metadata import ModelMetadata
from fmx_runtime.support.atomic import write
from fmx_runtime.support.packages import versions
from fmx_runtime.support.stderr_filter import filter_native_stderr
from fmx_training.data import fashion_mnist

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_DOCUMENT = Path("docs/interpreter-versions.md")
_IMAGES = 2000
_OLD = ["tflite-runtime==2.14.0", "numpy<2"]
_OPERATORS = {value: name for name, value in vars(schema.BuiltinOperator).items() if name[0] != "_"}
_RUN_OLD = """
import sys
import numpy as np
from tflite_runtime.interpreter import Interpreter
model, images, answers = sys.argv[1:]
interpreter = Interpreter(model)
interpreter.allocate_tensors()
source = interpreter.get_input_details()[0]["index"]
target = interpreter.get_output_details()[0]["index"]
rows = []
for image in np.load(images):
    interpreter.set_tensor(source, image[np.newaxis])
    interpreter.invoke()
    rows.append(interpreter.get_tensor(target)[0])
np.save(answers, rows)
"""


def main() -> None:
    """Compare the kernels layer by layer, and the versions as a whole, and write the document."""
    path = max(Path("exports").glob("*/*.int8.tflite"), key=lambda file: file.stat().st_mtime)
    metadata = ModelMetadata.from_json(read_metadata(path.read_bytes()))
    model = path.read_bytes()[: metadata.model_bytes]
    images = fashion_mnist.load().validation.images[:_IMAGES]
    with filter_native_stderr():
        layers = list(_layers(model, images))
        new, plain = _answers(model, images), _answers(model, images, plain=True)
        microseconds = _microseconds(model, images[:1])
        old = _old_answers(model, images)
    write(_DOCUMENT, _document(layers, {"new": new, "plain": plain, "old": old}, microseconds))
    print(f"wrote {_DOCUMENT}")


def _opened(model: bytes, *, plain: bool) -> Interpreter:
    """With XNNPACK's kernels, as by default, or with TFLite's own."""
    resolver = "BUILTIN_WITHOUT_DEFAULT_DELEGATES" if plain else "AUTO"
    interpreter = Interpreter(
        model_content=model, experimental_op_resolver_type=OpResolverType[resolver]
    )
    interpreter.allocate_tensors()
    return interpreter


def _answers(model: bytes, images: NDArray[Any], *, plain: bool = False) -> NDArray[np.int64]:
    """The integers of the output tensor, a row for each image."""
    interpreter = _opened(model, plain=plain)
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]
    rows = []
    for image in images:
        interpreter.set_tensor(source, image[np.newaxis])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(target)[0].ravel())
    return np.array(rows, np.int64)


def _old_answers(model: bytes, images: NDArray[Any]) -> NDArray[np.int64]:
    """The same from tflite-runtime 2.14, in an environment of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(model)
        np.save(folder / "images.npy", images)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
        python = folder / "venv" / "bin" / "python"
        pip = [sys.executable, "-m", "pip", "-q", "--python", python]
        subprocess.run([*pip, "install", "--only-binary", ":all:", *_OLD], check=True)
        files = [folder / file for file in ("model.tflite", "images.npy", "answers.npy")]
        subprocess.run([python, "-c", _RUN_OLD, *files], check=True)
        return np.load(files[-1]).astype(np.int64)


def _layers(model: bytes, images: NDArray[Any]) -> Iterator[str]:
    """A row of the table for each operator: the model cut off behind it, with both kernels."""
    whole = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
    for index, operator in enumerate(whole.subgraphs[0].operators):
        cut = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
        graph = cut.subgraphs[0]
        graph.operators = graph.operators[: index + 1]
        graph.outputs = [operator.outputs[0]]
        cut.signatureDefs = None
        builder = flatbuffers.Builder(len(model))
        builder.Finish(cut.Pack(builder), b"TFL3")
        content = bytes(builder.Output())
        steps = abs(_answers(content, images) - _answers(content, images, plain=True))
        name = _OPERATORS[whole.operatorCodes[operator.opcodeIndex].builtinCode]
        scale = float(graph.tensors[operator.outputs[0]].quantization.scale[0])
        yield (
            f"| {name} | {scale:.4f} | {steps.max()} | {(steps > 0).mean():.2%} "
            f"| {(steps.max(axis=1) > 0).mean():.1%} |"
        )


def _microseconds(model: bytes, image: NDArray[Any]) -> tuple[float, float]:
    """One inference with XNNPACK's kernels and with TFLite's own: medians, taken in turns."""
    interpreters = [_opened(model, plain=plain) for plain in (False, True)]
    times: list[list[float]] = [[], []]
    for interpreter in interpreters:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    for _ in range(300):
        for interpreter, taken in zip(interpreters, times, strict=True):
            start = time.perf_counter()
            for _ in range(20):
                interpreter.invoke()
            taken.append((time.perf_counter() - start) / 20 * 1e6)
    return statistics.median(times[0]), statistics.median(times[1])


def _difference(first: NDArray[np.int64], second: NDArray[np.int64]) -> str:
    steps = abs(first - second)
    agree = (first.argmax(axis=1) == second.argmax(axis=1)).mean()
    return f"{steps.max()} of 256 | {(steps.max(axis=1) > 0).mean():.1%} | {agree:.2%}"


def _document(
    layers: list[str], answers: dict[str, NDArray[np.int64]], microseconds: tuple[float, float]
) -> str:
    new, plain, old = answers["new"], answers["plain"], answers["old"]
    version = versions("ai-edge-litert")["ai-edge-litert"]
    fast, slow = microseconds
    return "\n".join(
        [
            "# One int8 file, several interpreters",
            "",
            "`make interpreter-versions` wrote this page: the int8 TFLite file of the newest",
            f"export, {_IMAGES:,} validation images, ai-edge-litert {version} and",
            "tflite-runtime 2.14.0 on one machine.",
            "",
            "An int8 file holds integers, and yet two versions of TFLite's interpreter do not",
            "always give the same ones:",
            "",
            "| compared | largest difference of a probability | images with any | same label |",
            "| --- | ---: | ---: | ---: |",
            f"| {version} and 2.14.0, as they come | {_difference(new, old)} |",
            f"| {version} with TFLite's own kernels, and 2.14.0 | {_difference(plain, old)} |",
            "",
            "TFLite's own kernels did not change. What differs is who computes: the newer version",
            "hands quantized layers to XNNPACK, the older one does not. Both multiply a layer's",
            "sum by a factor and round it to 8 bits. XNNPACK rounds once, to the nearest step;",
            "TFLite twice, first to a whole number and then to a step, which takes up what lies",
            "just below the middle between two steps. The softmax is the same in both.",
            "",
            "## Where it begins",
            "",
            "The model cut off behind each operator, XNNPACK's kernels against TFLite's own:",
            "",
            "| operator | size of a step | largest difference, steps | values | images |",
            "| --- | ---: | ---: | ---: | ---: |",
            *layers,
            "",
            "It is one step at most, of few values, in every layer. Before the softmax that is one",
            "step of a logit, and where two labels are about equally probable the softmax makes up",
            "to a quarter of it, in probability. It changes a label only where two were about",
            "level. Through more layers more comes together: see [export.md](export.md).",
            "",
            "## What follows",
            "",
            "- The softmax stays in the file. Taken out, it would be computed from the same",
            "  logits, with the same step between them, and other tools would be given logits.",
            f"- XNNPACK stays on: one inference takes {fast:.1f} µs, and {slow:.1f} µs without it.",
            "- The images of `fmx-run --self-test` are chosen among those that both sorts of",
            "  kernels answer most alike, so that it tells a broken interpreter, not an older one.",
            "  Its tolerance for int8 is 0.1: one step of 0.2 more for one of two level logits,",
            "  and one less for the other.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
