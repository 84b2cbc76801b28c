from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING

import flatbuffers
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as tflite
from onnx import TensorProto, helper

from fmx_runtime.backends.base import available, detect_format, open_backend
from fmx_runtime.backends.install_hints import Machine
from fmx_runtime.errors import BackendError, ModelFileError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from fmx_training.data.dataset import Splits

NAMES = ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"]
PACKAGES = {"tflite": "ai-edge-litert", "onnx": "onnxruntime"}


@pytest.mark.parametrize("name", NAMES)
def test_files_are_known_by_their_content(name: str, exported: Path) -> None:
    """An exported file's first bytes say what it is."""
    assert detect_format((exported / f"baseline.{name}").read_bytes()) == name.partition(".")[2]


@pytest.mark.parametrize(
    "content", [b"", b"T", b"text\n", b"PK\x03\x04", b"TFL3", b"\x00" * 8, b"\x89PNG\r\n\x1a\n"]
)
def test_what_is_no_model(content: bytes) -> None:
    """Bytes of another kind are neither, and are not opened."""
    assert detect_format(content) is None
    with pytest.raises(ModelFileError, match="neither a TFLite nor an ONNX model"):
        open_backend(content, backend=None, threads=1)


def test_available() -> None:
    """The interpreters that the development tools bring are seen; the older one is not there."""
    assert available() == ("ai-edge-litert", "onnxruntime")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("chosen", [True, False])
def test_what_a_backend_says_of_its_model(name: str, chosen: bool, exported: Path) -> None:
    """Each file opens, chosen or not, with its interpreter's version and its tensors' shapes."""
    precision, _, form = name.partition(".")
    opened = open_backend(
        (exported / f"baseline.{name}").read_bytes(),
        backend=PACKAGES[form] if chosen else None,  # type: ignore[arg-type]
        threads=1,
    )
    package = PACKAGES[form]
    assert opened.name == f"{package} {importlib.metadata.version(package)}"
    assert opened.input_shape == (1, 28, 28, 1)
    assert opened.input_dtype == ("uint8" if precision == "int8" else "float32")
    assert opened.output_size == 10


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_new_arrays(name: str, exported: Path, splits: Splits) -> None:
    """An answer is float32, one number a class, and the next answer does not change it."""
    opened = open_backend((exported / f"baseline.{name}").read_bytes(), backend=None, threads=1)
    tensors = splits.test.images[:2].astype(opened.input_dtype)
    if opened.input_dtype == "float32":
        tensors /= 255
    first = opened.run(tensors[:1])
    kept = first.copy()
    second = opened.run(tensors[1:])
    assert (first.dtype, first.shape) == (np.float32, (10,))
    assert np.array_equal(first, kept)
    assert not np.array_equal(first, second)
    assert np.array_equal(opened.run(tensors[:1]), kept)
    assert opened.scores(tensors[:1]) == kept.tolist()


def without_its_end(content: bytes) -> bytes:
    """A TFLite model that answers with what its last operator is given."""
    model = tflite.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    graph.outputs = graph.operators.pop().inputs[:1]
    model.signatureDefs = []
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_signed_answers(exported: Path, splits: Splits) -> None:
    """Bytes with a sign stand for the numbers that those without one do which they become."""
    content = (exported / "baseline.int8.tflite").read_bytes()
    unsigned = open_backend(content, backend=None, threads=1)
    signed = open_backend(without_its_end(content), backend=None, threads=1)
    for tensor in np.split(splits.test.images[:20], 20):
        expected = unsigned.scores(tensor)
        assert signed.scores(tensor) == expected
        assert signed.run(tensor).tolist() == expected


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("int8.tflite", "onnxruntime"),
        ("int8.onnx", "ai-edge-litert"),
        ("int8.onnx", "tflite-runtime"),
    ],
)
def test_an_interpreter_for_the_other_format(name: str, wrong: str, exported: Path) -> None:
    """An interpreter that does not run the format is refused, and one that does is named."""
    content = (exported / f"baseline.{name}").read_bytes()
    right = PACKAGES[name.partition(".")[2]]
    with pytest.raises(BackendError, match=f"{wrong} does not run .* models; choose {right}"):
        open_backend(content, backend=wrong, threads=1)  # type: ignore[arg-type]


def test_an_interpreter_that_is_chosen_and_not_installed(exported: Path) -> None:
    """The other TFLite interpreter, which is not installed, is not replaced by the one that is."""
    content = (exported / "baseline.int8.tflite").read_bytes()
    with pytest.raises(BackendError, match=r"^tflite-runtime is not installed .*tflite-runt"):
        open_backend(content, backend="tflite-runtime", threads=1)


OPEN = """
import pathlib, sys
from fmx_runtime import Classifier, FmxError
for path in sys.argv[1:]:
    try:
        print(Classifier(path).backend)
    except FmxError as error:
        print(type(error).__name__, error)
"""


def test_no_interpreter(
    bare_python: Callable[..., subprocess.CompletedProcess[str]], exported: Path
) -> None:
    """Where no interpreter is installed, each format's error says how to install its own."""
    done = bare_python(OPEN, exported / "baseline.int8.tflite", exported / "baseline.int8.onnx")
    assert done.stderr == ""
    tflite, onnx_ = done.stdout.splitlines()
    machine = f"on this machine ({Machine.here()}): install one with"
    for line, package in ((tflite, "ai-edge-litert"), (onnx_, "onnxruntime")):
        assert line.startswith("BackendError '")
        assert machine in line
        assert line.endswith(f": install one with 'pip install {package}'")


def test_damage_is_found_without_an_interpreter(
    bare_python: Callable[..., subprocess.CompletedProcess[str]], exported: Path, tmp_path: Path
) -> None:
    """A damaged model never reaches an interpreter: its checksum is looked at first."""
    paths = []
    for form in ("tflite", "onnx"):
        content = bytearray((exported / f"baseline.int8.{form}").read_bytes())
        content[5000] ^= 1
        paths.append(tmp_path / f"damaged.{form}")
        paths[-1].write_bytes(content)
    done = bare_python(OPEN, *paths)
    assert done.stderr == ""
    for line, path in zip(done.stdout.splitlines(), paths, strict=True):
        assert line.startswith(f"ModelFileError '{path}': was changed after it was exported")


@pytest.mark.parametrize("form", ["tflite", "onnx"])
def test_an_interpreter_that_cannot_be_loaded(
    form: str,
    bare_python: Callable[..., subprocess.CompletedProcess[str]],
    exported: Path,
    tmp_path: Path,
) -> None:
    """An installed interpreter whose libraries are missing is a BackendError with the reason."""
    package = PACKAGES[form]
    home = tmp_path / "site" / package.replace("-", "_")
    home.mkdir()
    (home / "__init__.py").write_text("raise ImportError('libm.so.9: cannot open')", "utf-8")
    done = bare_python(OPEN, exported / f"baseline.int8.{form}")
    assert done.stderr == ""
    assert done.stdout.startswith("BackendError '")
    assert f"{package} is installed but cannot be loaded: libm.so.9: cannot open" in done.stdout


def model_of(inputs: int, outputs: int) -> bytes:
    """An ONNX model that passes on each input, or the first one, to each output."""
    shape = [1, 28, 28, 1]
    names = [f"in{number}" for number in range(inputs)]
    nodes = [
        helper.make_node("Identity", [names[min(number, inputs - 1)]], [f"out{number}"])
        for number in range(outputs)
    ]
    values = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in group]
        for group in (names, [f"out{number}" for number in range(outputs)])
    ]
    graph = helper.make_graph(nodes, "graph", *values)
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    content: bytes = model.SerializeToString()
    return content


@pytest.mark.parametrize(("inputs", "outputs"), [(2, 1), (1, 2), (3, 3)])
def test_one_input_and_one_output(inputs: int, outputs: int) -> None:
    """A model with another number of tensors is no classifier."""
    with pytest.raises(ModelFileError, match=f"one output, found {inputs} and {outputs}"):
        open_backend(model_of(inputs, outputs), backend=None, threads=1)


def test_models_that_an_interpreter_refuses(exported: Path, capfd: pytest.CaptureFixture) -> None:
    """The interpreter's reason is one line, said by name and version; nothing else is printed."""
    unknown = onnx.load_from_string(model_of(1, 1))
    unknown.graph.node[0].op_type = "NoSuchOperator"
    tflite = (exported / "baseline.int8.tflite").read_bytes()
    for content in (unknown.SerializeToString(), tflite[:50_000], tflite[:8] + bytes(1000)):
        with pytest.raises(ModelFileError, match=r"(litert|onnxruntime) \d.* cannot load") as error:
            open_backend(content, backend=None, threads=1)
        assert "\n" not in str(error.value)
    assert capfd.readouterr().out == ""


def test_large_products_of_int8_add_up() -> None:
    """Bytes of 255 times weights of 127, by pairs more than 16 bits hold, give their exact sum.

    x86 processors without VNNI add such pairs up in 16 bits, and cut them off there.
    """
    names = ("scale", "zero_byte", "weights", "zero", "sums")
    arrays = (
        np.array(1, np.float32),
        np.array(0, np.uint8),
        np.full((64, 8), 127, np.int8),
        np.array(0, np.int8),
        np.array(64 * 127, np.float32),
    )
    multiplied = helper.make_node(
        "QLinearMatMul",
        ["a", "scale", "zero_byte", "weights", "scale", "zero", "sums", "zero_byte"],
        ["rounded"],
    )
    scaled = helper.make_node("DequantizeLinear", ["rounded", "sums", "zero_byte"], ["answer"])
    graph = helper.make_graph(
        [multiplied, scaled],
        "sums",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [1, 64])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [1, 8])],
        [onnx.numpy_helper.from_array(a, name) for name, a in zip(names, arrays, strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    opened = open_backend(model.SerializeToString(), backend=None, threads=1)
    answer = opened.run(np.full((1, 64), 255, np.uint8))
    assert np.unique(answer).tolist() == [255 * 64 * 127]
