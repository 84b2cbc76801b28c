from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as tflite
from onnx import helper

from fmx_runtime.errors import BackendError, ModelFileError
from fmx_runtime.model_file import sandbox as module
from fmx_runtime.model_file.container import read_metadata
from fmx_runtime.model_file.metadata import ModelMetadata
from fmx_runtime.model_file.sandbox import ModelSignature, run_in_sandbox

NAMES = ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"]
FLOAT, UINT8 = onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8
ENDLESS = np.iinfo(np.int64).max


def signature_of(content: bytes) -> ModelSignature:
    """The signature that the default interpreter finds."""
    return run_in_sandbox(content, backend=None, threads=1)


def refusal(content: bytes) -> str:
    """The message of a model that is refused: one line."""
    with pytest.raises(ModelFileError) as caught:
        signature_of(content)
    message = str(caught.value)
    assert "\n" not in message
    return message


def onnx_model(
    *nodes: onnx.NodeProto, shape: tuple[Any, ...], kind: int = FLOAT, classes: int = 5
) -> bytes:
    """An ONNX file that computes ``y (1, classes)`` from ``x``, both of type ``kind``."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", FLOAT, (1, classes))],
    )
    opset = [helper.make_opsetid("", 17)]
    content: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return content


def constant(name: str, value: np.ndarray) -> onnx.NodeProto:
    """A node whose output ``name`` is a constant."""
    return helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(value))


def network(
    shape: tuple[Any, ...], *, classes: int = 5, end: str = "Softmax", weight: float = 0.01
) -> bytes:
    """A network of one dense layer on images of a shape."""
    pixels = int(np.prod([size for size in shape[1:] if isinstance(size, int)]))
    weights = np.random.default_rng(0).normal(0, weight, (pixels, classes)).astype(np.float32)
    return onnx_model(
        constant("w", weights),
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["sums"]),
        helper.make_node(end, ["sums"], ["y"]),
        shape=shape,
        classes=classes,
    )


def quantizing(zero_point: int) -> bytes:
    """A TFLite file that converts uint8 to int8 with a zero point."""

    def tensor(name: str, kind: int, zero: int) -> tflite.TensorT:
        made = tflite.TensorT()
        made.name, made.type, made.buffer = name, kind, 0
        made.shape = np.array([1, 4, 4, 1], np.int32)
        made.quantization = tflite.QuantizationParametersT()
        made.quantization.scale = np.array([1 / 256], np.float32)
        made.quantization.zeroPoint = np.array([zero], np.int64)
        return made

    code, operator = tflite.OperatorCodeT(), tflite.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = tflite.BuiltinOperator.QUANTIZE
    graph, model = tflite.SubGraphT(), tflite.ModelT()
    graph.tensors = [
        tensor("x", tflite.TensorType.UINT8, 0),
        tensor("y", tflite.TensorType.INT8, zero_point),
    ]
    operator.inputs = graph.inputs = np.array([0], np.int32)
    operator.outputs = graph.outputs = np.array([1], np.int32)
    graph.operators, model.operatorCodes = [operator], [code]
    model.version, model.subgraphs, model.buffers = 3, [graph], [tflite.BufferT()]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("name", NAMES)
def test_an_exported_model(name: str, exported: Path) -> None:
    """The signature of an exported file agrees with its metadata."""
    content = (exported / f"baseline.{name}").read_bytes()
    metadata = ModelMetadata.from_json(read_metadata(content))
    assert signature_of(content) == ModelSignature(
        height=28,
        width=28,
        channels=1,
        dtype=metadata.input.dtype,
        classes=10,
        probabilities=metadata.output == "probabilities",
    )


@pytest.mark.parametrize(("end", "probabilities"), [("Softmax", True), ("Identity", False)])
def test_logits_and_probabilities(end: str, probabilities: bool) -> None:
    """A network without a softmax returns logits; size, channels and classes are found."""
    expected = ModelSignature(
        height=8, width=6, channels=3, dtype="float32", classes=7, probabilities=probabilities
    )
    assert signature_of(network((1, 8, 6, 3), classes=7, end=end)) == expected


def test_outputs_of_sigmoids_are_not_probabilities() -> None:
    """Independent sigmoids give values from 0 to 1 that do not sum to 1."""
    assert not signature_of(network((1, 8, 8, 1), end="Sigmoid")).probabilities


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([[0.2, 0.8], [1, 0]], True),
        ([[0.2, 0.803], [1, 0]], True),
        ([[0.2, 0.8], [0.3, 0.8]], False),
        ([[-0.2, 1.2]], False),
        ([[0.0] * 1000], True),  # rounded to steps of 1/256, each less than half of one
        ([[0.001] * 600], False),
        ([[0.25, 0.25]], False),
    ],
)
def test_sum_of_probabilities(outputs: list[list[float]], expected: bool) -> None:
    """Rows sum to 1, up to what rounding to eight bits can change."""
    assert module._are_probabilities(np.array(outputs, np.float32)) is expected


def test_a_model_that_crashes_the_interpreter() -> None:
    """A segmentation fault is an error message with the interpreter's name and version."""
    assert "returns float32 (1, 4, 4, 1)" in refusal(quantizing(-128))
    assert refusal(quantizing(300)).startswith("ends the process of ai-edge-litert 2.")
    assert "(signal SIGSEGV): it is damaged, or made for another version" in refusal(
        quantizing(300)
    )


def test_a_model_with_an_endless_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endless loop in a model ends at the time limit."""
    monkeypatch.setattr(module, "_TIMEOUT_S", 2)
    yes = constant("go_on", np.array(True))
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["c"], ["c_out"]),
            helper.make_node("Relu", ["v"], ["v_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", onnx.TensorProto.INT64, ()),
            helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, ()),
            helper.make_tensor_value_info("v", FLOAT, (1, 16)),
        ],
        [
            helper.make_tensor_value_info("c_out", onnx.TensorProto.BOOL, ()),
            helper.make_tensor_value_info("v_out", FLOAT, (1, 16)),
        ],
    )
    content = onnx_model(
        yes,
        constant("most", np.array(ENDLESS)),
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("Loop", ["most", "go_on", "flat"], ["y"], body=body),
        shape=(1, 4, 4, 1),
        classes=16,
    )
    start = time.monotonic()
    assert refusal(content).startswith("keeps onnxruntime 1.")
    assert time.monotonic() - start < 5


def test_a_model_that_needs_too_much_memory() -> None:
    """A small model that makes a tensor of 4 GB is refused within seconds."""
    content = onnx_model(
        constant("size", np.array([1 << 30])),
        helper.make_node("ConstantOfShape", ["size"], ["large"]),
        helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0),
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("Add", ["flat", "sum"], ["y"]),
        shape=(1, 4, 4, 1),
        classes=16,
    )
    start = time.monotonic()
    assert "memory" in refusal(content) or "alloc" in refusal(content)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (network((1, 3, 8, 8)), r"takes images as \(1, 3, 8, 8\), channels first; convert it"),
        (network((1, 8, 8)), r"takes \(1, 8, 8\), expected one image \(1, height, width, 1 or"),
        (network((4, 8, 8, 3)), r"takes \(4, 8, 8, 3\), expected one image"),
        (network((1, 8, 8, 4)), r"takes \(1, 8, 8, 4\), expected one image"),
        (network((1, "h", "w", 3)), "has a variable image size; export it with"),
        (network((1, 8, 8, 3), classes=1), "expected one number for each of at least two classes"),
        (network((1, 8, 8, 3), weight=3e37, end="Identity"), "returns values that are not finite"),
        (b"\x08\x08 no model", "onnxruntime 1.* cannot load this ONNX file"),
        (b"\x1c\x00\x00\x00TFL3", "ai-edge-litert 2.* cannot load this TFLite file"),
        (b"no model", "neither a TFLite nor an ONNX model"),
    ],
)
def test_other_models_are_refused(content: bytes, message: str) -> None:
    """Models of other inputs or outputs are refused with what was found and expected."""
    with pytest.raises(ModelFileError, match=message):
        signature_of(content)


def test_int8_input_is_refused(exported: Path) -> None:
    """The message for int8 input names the converter's option for uint8 input."""
    content = (exported / "baseline.int8.tflite").read_bytes()
    model = tflite.ModelT.InitFromPackedBuf(content, 0)
    model.subgraphs[0].inputs = model.subgraphs[0].operators.pop(0).outputs
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    message = refusal(bytes(builder.Output()))
    assert "takes int8 values" in message
    assert "inference_input_type = tf.uint8" in message


def test_a_named_interpreter(exported: Path) -> None:
    """An interpreter that is missing, or is for the other format, is a BackendError."""
    content = (exported / "baseline.int8.tflite").read_bytes()
    assert run_in_sandbox(content, backend="ai-edge-litert", threads=2).classes == 10
    with pytest.raises(BackendError, match="tflite-runtime is not installed on this machine"):
        run_in_sandbox(content, backend="tflite-runtime", threads=1)
    with pytest.raises(BackendError, match="onnxruntime does not run tflite models"):
        run_in_sandbox(content, backend="onnxruntime", threads=1)


def test_the_current_folder_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in the current folder with the name of a library is not run."""
    for name in ("numpy", "json", "fmx_runtime", "onnxruntime"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'was run')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    assert signature_of(network((1, 8, 8, 1))).classes == 5
    assert not (tmp_path / "was run").exists()


@pytest.mark.parametrize(
    ("python", "message"),
    [
        ("/nowhere/python", r"no process can be started \(No such file or directory\)"),
        ("/bin/true", "'/bin/true' does not run fmx-runtime"),
    ],
)
def test_no_process_can_be_started(
    python: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Python cannot be started, the error does not blame the model."""
    monkeypatch.setattr(sys, "executable", python)
    with pytest.raises(BackendError, match=message):
        signature_of(network((1, 8, 8, 1)))


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """What interpreters print when they open and refuse models is discarded."""
    signature_of(network((1, 8, 8, 1)))
    refusal(network((1, 3, 8, 8)))
    refusal(quantizing(300))
    assert capfd.readouterr() == ("", "")


LIMITS = """
import resource
from fmx_runtime.model_file import sandbox
resource.setrlimit(resource.RLIMIT_CPU, (15, 15))
sandbox._limit_resources(1 << 20, 2)
kinds = (resource.RLIMIT_CORE, resource.RLIMIT_DATA, resource.RLIMIT_CPU)
print([resource.getrlimit(kind) for kind in kinds])
"""


def test_limits_are_lowered_only() -> None:
    """No core dumps, memory by the file's size; a limit that is lower already stays."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITS], capture_output=True, text=True, check=True
    )
    memory = (512 + 4) << 20
    assert done.stdout.strip() == str([(0, 0), (memory, memory), (15, 15)])


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "exit code 0"), (3, "exit code 3"), (-6, "signal SIGABRT"), (-40, "signal 40")],
)
def test_how_a_process_ended(code: int, words: str) -> None:
    """Signals are described by their names, where they have one."""
    assert module._describe_exit(code) == words


def test_no_process_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a timeout the child process has ended."""
    before = children()
    monkeypatch.setattr(module, "_TIMEOUT_S", 0.05)
    refusal(network((1, 8, 8, 1)))
    assert children() <= before


def children() -> set[int]:
    """The child processes of this process, also those that have ended but were not waited for."""
    own = os.getpid()
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # "pid (name) state parent …", and a name can hold anything
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    return {process for process, parent in parents.items() if parent == own}
