"""Keras to ONNX, asked of the real onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers

from fmx_export.onnx import export_onnx
from fmx_runtime.errors import ExportError
from fmx_runtime.preprocess import to_tensor

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_export.bundle import Source
    from fmx_runtime.card import Precision
    from fmx_training.dataset import Splits

WEIGHTED = {"Conv", "Gemm", "MatMul"}


def convert(case: Source, sample: NDArray[np.uint8], precision: Precision) -> bytes:
    """The case as ONNX."""
    return export_onnx(case.model, precision=precision, spec=case.spec, calibration=sample)


def answers(content: bytes, tensors: NDArray[Any]) -> NDArray[np.float32]:
    """What onnxruntime says to the input tensors one by one."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    rows = [session.run(None, {name: tensors[i : i + 1]})[0][0] for i in range(len(tensors))]
    return np.array(rows)


def border(values: Any) -> list[tuple[int, tuple[int, ...]]]:
    """Element type and shape of a graph's inputs or outputs; 0 for a size left open."""
    types = [value.type.tensor_type for value in values]
    return [(kind.elem_type, tuple(d.dim_value for d in kind.shape.dim)) for kind in types]


def constants(proto: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """The values that the graph holds, by name."""
    return {item.name: onnx.numpy_helper.to_array(item) for item in proto.graph.initializer}


@pytest.fixture(scope="session")
def floats(case: Source, sample: NDArray[np.uint8]) -> bytes:
    """The case's float file."""
    return convert(case, sample, "float32")


@pytest.fixture(scope="session")
def bytewise(case: Source, sample: NDArray[np.uint8]) -> bytes:
    """The case's int8 file."""
    return convert(case, sample, "int8")


@pytest.fixture(scope="session", params=["float32", "int8"])
def either(request: pytest.FixtureRequest, floats: bytes, bytewise: bytes) -> onnx.ModelProto:
    """The float file, and the int8 file, parsed."""
    return onnx.load_from_string(floats if request.param == "float32" else bytewise)


def test_the_checker_passes(either: onnx.ModelProto) -> None:
    """ONNX' own checker, shape inference included, finds nothing."""
    onnx.checker.check_model(either, full_check=True)


def test_opset(either: onnx.ModelProto) -> None:
    """Files need operator set 17 and none besides, and carry no notes of the converters."""
    assert [(x.domain, x.version) for x in either.opset_import] == [("", 17)]
    assert not either.metadata_props
    assert not either.graph.doc_string


def test_shapes_are_constants(either: onnx.ModelProto) -> None:
    """One picture goes in, so nothing in the graph computes with shapes."""
    operators = {node.op_type for node in either.graph.node}
    assert not operators & {"Shape", "Gather", "Slice", "Cast"}


def test_float_input_and_output(case: Source, floats: bytes) -> None:
    """A float file takes one float picture and gives one float row."""
    graph = onnx.load_from_string(floats).graph
    assert border(graph.input) == [(onnx.TensorProto.FLOAT, (1, *case.spec.shape))]
    assert border(graph.output) == [(onnx.TensorProto.FLOAT, (1, case.model.output_shape[1]))]


def test_float_answers_as_keras(
    case: Source, floats: bytes, pictures: NDArray[np.uint8], expected: NDArray[np.float32]
) -> None:
    """On 200 real pictures no number differs from Keras' by more than 1e-4."""
    found = answers(floats, to_tensor(pictures, case.spec))
    assert len(found) == 200
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_int8_takes_the_pixels_own_bytes(case: Source, bytewise: bytes) -> None:
    """The int8 file takes uint8, and its scale and zero point are what a pixel means."""
    proto = onnx.load_from_string(bytewise)
    assert border(proto.graph.input) == [(onnx.TensorProto.UINT8, (1, *case.spec.shape))]
    name = proto.graph.input[0].name
    while (node := next(x for x in proto.graph.node if name in x.input)).op_type in {
        "Reshape",
        "Transpose",
    }:
        name = node.output[0]
    assert node.op_type == "DequantizeLinear"
    scale, zero_point = (constants(proto)[constant] for constant in node.input[1:])
    assert scale == pytest.approx(case.spec.scale, rel=1e-5)
    assert int(zero_point) == pytest.approx(-case.spec.offset / case.spec.scale, abs=0.5)


def test_int8_weights_are_per_channel(bytewise: bytes) -> None:
    """Each weighted operator has int8 weights, zero point 0, a scale for each output channel."""
    proto = onnx.load_from_string(bytewise)
    values = constants(proto)
    makers = {node.output[0]: node for node in proto.graph.node}
    weighted = [node for node in proto.graph.node if node.op_type in WEIGHTED]
    assert weighted
    for node in weighted:
        weights = makers[node.input[1]]
        assert weights.op_type == "DequantizeLinear"
        quantized, scales, zero_points = (values[name] for name in weights.input)
        axis = next(attribute.i for attribute in weights.attribute if attribute.name == "axis")
        assert axis == (0 if node.op_type == "Conv" else 1)
        assert quantized.dtype == np.int8
        assert len(scales) == quantized.shape[axis]
        assert len(set(scales.tolist())) > 1
        assert not zero_points.any()


def test_int8_activations_are_unsigned(bytewise: bytes) -> None:
    """Between the operators there are unsigned bytes: onnxruntime is slow with signed ones."""
    proto = onnx.load_from_string(bytewise)
    values = constants(proto)
    found = [node for node in proto.graph.node if node.op_type == "QuantizeLinear"]
    assert found
    assert {values[node.input[2]].dtype for node in found} == {np.dtype(np.uint8)}


def test_int8_is_quantize_and_dequantize(case: Source, bytewise: bytes) -> None:
    """The operators are the float ones between QuantizeLinear and DequantizeLinear."""
    proto = onnx.load_from_string(bytewise)
    operators = {node.op_type for node in proto.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators
    assert not {name for name in operators if name.startswith("QLinear") or "Integer" in name}
    assert ("Softmax" in operators) == (case.name != "logits")


def test_int8_gives_floats(case: Source, bytewise: bytes) -> None:
    """The softmax is the last operator and float: probabilities are not rounded to bytes."""
    proto = onnx.load_from_string(bytewise)
    assert border(proto.graph.output) == [(onnx.TensorProto.FLOAT, (1, len(case.labels)))]
    last = proto.graph.node[-1]
    assert last.output[0] == proto.graph.output[0].name
    assert last.op_type == ("DequantizeLinear" if case.name == "logits" else "Softmax")


def test_int8_answers_nearly_as_keras(
    bytewise: bytes, pictures: NDArray[np.uint8], expected: NDArray[np.float32]
) -> None:
    """The int8 file's error is a small part of how much the answers differ between pictures."""
    found = answers(bytewise, pictures)
    spread = expected.std(axis=0).mean()
    assert np.abs(found - expected).mean() < 0.1 * spread
    assert np.mean(found.argmax(axis=1) == expected.argmax(axis=1)) > 0.9


def test_the_same_model_gives_the_same_bytes(
    case: Source, sample: NDArray[np.uint8], floats: bytes, bytewise: bytes
) -> None:
    """Converting again, in the same process, gives the very same file."""
    assert convert(case, sample, "float32") == floats
    assert convert(case, sample, "int8") == bytewise


def test_a_sample_that_does_not_span_is_refused(source: Source, few: Splits) -> None:
    """Dark calibration pictures would shift the pixels' meaning: refused, with both meanings."""
    dark = few.train.images[:50] // 2
    with pytest.raises(ExportError, match=r"0\.00392157 \* byte \+ 0, .* 0\.00195.*span 0 to 255"):
        export_onnx(source.model, precision="int8", spec=source.spec, calibration=dark)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_what_cannot_be_converted_is_said(  # noqa: PLR0917 (fixtures)
    precision: Precision,
    unconvertible: Any,
    few: Splits,
    source: Source,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A network with Python code inside gives one line with the reason, and no litter."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ExportError, match=f"cannot convert to {precision} ONNX: .*PyFunc"
    ) as caught:
        export_onnx(
            unconvertible,
            precision=precision,
            spec=source.spec,
            calibration=few.train.images[:10],
        )
    assert "\n" not in str(caught.value)
    assert not caplog.text
    assert not list(tmp_path.iterdir())


def test_arithmetic_before_the_first_quantization_is_refused(few: Splits, source: Source) -> None:
    """Where the pixels meet a float operator first, raw bytes cannot go in: it is named."""
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Activation("tanh"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    with pytest.raises(ExportError, match="the input meets Tanh before it is quantized"):
        export_onnx(model, precision="int8", spec=source.spec, calibration=few.train.images[:10])
