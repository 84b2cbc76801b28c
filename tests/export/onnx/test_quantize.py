"""int8 ONNX, asked of the real onnxruntime."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import onnx
import pytest
from keras import layers

from fmx_export.common.quantization_config import METHODS, Plan
from fmx_export.onnx.convert import export_onnx, serialize
from fmx_export.onnx.quantize import (
    calibrate_onnx,
    prepare_onnx,
    quantize_onnx,
    take_raw_pixels,
)
from fmx_runtime.errors import ExportError
from fmx_runtime.images.preprocess import to_tensor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_export.common.quantization_config import Target
    from fmx_export.pipeline.export import Source
    from fmx_runtime.model_file.metadata import InputSpec
    from fmx_training.data.dataset import Splits

    Ask = Callable[[onnx.ModelProto, NDArray[Any]], NDArray[np.float32]]

WEIGHTED = {"Conv", "Gemm", "MatMul"}
MOVING = {"Reshape", "Transpose"}


def quantized(
    prepared: onnx.ModelProto,
    spec: InputSpec,
    sample: NDArray[np.uint8],
    plan: Plan,
    target: Target = "x86-64",
) -> onnx.ModelProto:
    """The network in int8 by the plan, taking bytes."""
    ranges = calibrate_onnx(prepared, spec=spec, calibration=sample, plan=plan)
    integers = quantize_onnx(prepared, spec=spec, ranges=ranges, plan=plan, target=target)
    return take_raw_pixels(integers, spec)


def constants(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """The values that the graph holds, by name."""
    return {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}


def weighted(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The convolutions and dense layers."""
    return [node for node in model.graph.node if node.op_type in WEIGHTED]


def makers(model: onnx.ModelProto) -> dict[str, str]:
    """What operator makes a tensor, by the tensor's name."""
    return {output: node.op_type for node in model.graph.node for output in node.output}


def readers(model: onnx.ModelProto, tensor: str) -> set[str]:
    """What operators read a tensor."""
    return {node.op_type for node in model.graph.node if tensor in node.input}


def assert_near(found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """The error is a small part of how much the answers differ between images."""
    assert np.abs(found - expected).mean() < 0.1 * expected.std(axis=0).mean()
    assert np.mean(found.argmax(axis=1) == expected.argmax(axis=1)) > 0.9


@pytest.fixture(scope="session")
def prepared(onnx_floats: onnx.ModelProto) -> onnx.ModelProto:
    """The case's float network as it is quantized; not to be changed."""
    return prepare_onnx(onnx_floats)


@pytest.fixture(scope="session")
def bytewise(prepared: onnx.ModelProto, case: Source, sample: NDArray[np.uint8]) -> onnx.ModelProto:
    """The case in int8."""
    return quantized(prepared, case.spec, sample, Plan())


def test_preparing_keeps_the_answers(
    prepared: onnx.ModelProto,
    onnx_floats: onnx.ModelProto,
    case: Source,
    images: NDArray[np.uint8],
    ask_onnx: Ask,
) -> None:
    """Laid out on blocks and fused, the float network answers as before, and is left alone."""
    before = onnx_floats.SerializeToString()
    tensors = to_tensor(images, case.spec)
    np.testing.assert_allclose(
        ask_onnx(prepare_onnx(onnx_floats), tensors),
        ask_onnx(onnx_floats, tensors),
        rtol=0,
        atol=1e-4,
    )
    assert onnx_floats.SerializeToString() == before
    assert {node.op_type for node in prepared.graph.node}.isdisjoint({"BatchNormalization", "Mul"})


def test_opset(bytewise: onnx.ModelProto) -> None:
    """Files need operator set 17 and none besides, pass the checker, and carry no notes."""
    onnx.checker.check_model(bytewise, full_check=True)
    assert [(item.domain, item.version) for item in bytewise.opset_import] == [("", 17)]
    assert not bytewise.metadata_props
    assert not bytewise.graph.doc_string


def test_shapes_are_constants(bytewise: onnx.ModelProto) -> None:
    """One image goes in, so nothing in the graph computes with shapes."""
    assert not {node.op_type for node in bytewise.graph.node} & {"Shape", "Gather", "Slice", "Cast"}


def test_it_takes_the_pixels_own_bytes(case: Source, bytewise: onnx.ModelProto) -> None:
    """uint8 goes in, and where it is first looked at, a byte means what the spec says."""
    entry = bytewise.graph.input[0]
    assert entry.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    sizes = entry.type.tensor_type.shape.dim
    assert tuple(size.dim_value for size in sizes) == (1, *case.spec.shape)
    name, values = entry.name, constants(bytewise)
    while (nodes := [x for x in bytewise.graph.node if name in x.input])[0].op_type in MOVING:
        name = nodes[0].output[0]
    for node in nodes:
        assert node.op_type == "DequantizeLinear"
        scale, zero_point = (values[constant] for constant in node.input[1:])
        assert scale == np.float32(case.spec.scale)
        assert int(zero_point) == pytest.approx(-case.spec.offset / case.spec.scale, abs=0.5)


def test_what_a_byte_means_is_not_up_to_the_sample(source: Source, few: Splits) -> None:
    """Calibrated with dark images only, bytes mean what the spec says all the same."""
    prepared = prepare_onnx(export_onnx(source.model, spec=source.spec))
    dark = quantized(prepared, source.spec, few.train.images[:20] // 4, Plan())
    first = next(node for node in dark.graph.node if node.op_type == "DequantizeLinear")
    scale, zero_point = (constants(dark)[name] for name in first.input[1:])
    assert (scale, zero_point) == (np.float32(1 / 255), 0)


def test_weights_are_per_channel(bytewise: onnx.ModelProto) -> None:
    """Each weighted operator has int8 weights, zero point 0, a scale for each output channel."""
    values = constants(bytewise)
    nodes = {node.output[0]: node for node in bytewise.graph.node}
    assert weighted(bytewise)
    for node in weighted(bytewise):
        weights = nodes[node.input[1]]
        assert weights.op_type == "DequantizeLinear"
        integers, scales, zero_points = (values[name] for name in weights.input)
        axis = next(attribute.i for attribute in weights.attribute if attribute.name == "axis")
        assert axis == (0 if node.op_type == "Conv" else 1)
        assert integers.dtype == np.int8
        assert len(scales) == integers.shape[axis]
        assert len(set(scales.tolist())) > 1
        assert not zero_points.any()


@pytest.mark.parametrize(("target", "largest"), [("x86-64", 64), ("arm64", 127)])
def test_weights_fit_the_processor(
    target: Target, largest: int, source: Source, few: Splits
) -> None:
    """On x86-64 weights have 7 bits, so that two products never overflow 16; on Arm all 8."""
    prepared = prepare_onnx(export_onnx(source.model, spec=source.spec))
    model = quantized(prepared, source.spec, few.train.images[:5], Plan(), target)
    weights = [x for x in constants(model).values() if x.dtype == np.int8 and x.ndim > 1]
    assert len(weights) == 4
    assert {int(np.abs(item.astype(int)).max()) for item in weights} == {largest}


def test_activations_are_unsigned(bytewise: onnx.ModelProto) -> None:
    """Between the operators there are unsigned bytes: onnxruntime is slow with signed ones."""
    values = constants(bytewise)
    found = [node for node in bytewise.graph.node if node.op_type == "QuantizeLinear"]
    assert found
    assert {values[node.input[2]].dtype for node in found} == {np.dtype(np.uint8)}


def test_it_is_quantize_and_dequantize(bytewise: onnx.ModelProto) -> None:
    """The operators are the float ones between QuantizeLinear and DequantizeLinear."""
    operators = {node.op_type for node in bytewise.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators
    assert not {name for name in operators if name.startswith("QLinear") or "Integer" in name}


def test_answers_are_not_rounded(
    case: Source, bytewise: onnx.ModelProto, images: NDArray[np.uint8], ask_onnx: Ask
) -> None:
    """The last dense layer gives floats, to a float softmax where there is one: no 256 steps."""
    last = bytewise.graph.node[-1]
    assert last.output[0] == bytewise.graph.output[0].name
    closing = ["MatMul", "Gemm"] if case.name == "logits" else ["Softmax"]
    assert last.op_type in closing
    if last.op_type == "Softmax":
        assert makers(bytewise)[last.input[0]] in {"MatMul", "Gemm"}
    assert len(np.unique(ask_onnx(bytewise, images))) > 256


def test_answers_nearly_as_keras(
    bytewise: onnx.ModelProto,
    images: NDArray[np.uint8],
    expected: NDArray[np.float32],
    ask_onnx: Ask,
) -> None:
    """The answers to 200 real images are nearly Keras'."""
    assert_near(ask_onnx(bytewise, images), expected)


def test_each_method_of_calibration(
    source: Source, few: Splits, ask_onnx: Ask, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of the trained network's ranges, each method's are narrower than the one's before it.

    They are of the same tensors, the answers are nearly Keras', and nothing is printed.
    """
    images = few.test.images[:200]
    expected = source.model.predict(to_tensor(images, source.spec), verbose=0)
    prepared = prepare_onnx(export_onnx(source.model, spec=source.spec))
    capfd.readouterr()
    found = []
    for method in METHODS:
        plan = Plan(method)
        ranges = calibrate_onnx(
            prepared, spec=source.spec, calibration=few.train.images[:20], plan=plan
        )
        integers = quantize_onnx(
            prepared, spec=source.spec, ranges=ranges, plan=plan, target="x86-64"
        )
        assert_near(ask_onnx(take_raw_pixels(integers, source.spec), images), expected)
        found.append(ranges)
    assert capfd.readouterr().out == ""
    assert found[0].keys() == found[1].keys() == found[2].keys()
    widths = [sum(high - low for low, high in x.values()) for x in found]
    assert widths[0] > widths[1] > widths[2]


def test_the_same_model_gives_the_same_bytes(
    case: Source,
    onnx_floats: onnx.ModelProto,
    sample: NDArray[np.uint8],
    bytewise: onnx.ModelProto,
) -> None:
    """Quantizing again, in the same process, gives the very same file."""
    again = quantized(prepare_onnx(onnx_floats), case.spec, sample, Plan())
    assert serialize(again) == serialize(bytewise)


@pytest.mark.parametrize("position", [0, -1])
def test_float_layers_stay_in_float(  # noqa: PLR0917 (fixtures)
    position: int,
    case: Source,
    prepared: onnx.ModelProto,
    sample: NDArray[np.uint8],
    images: NDArray[np.uint8],
    expected: NDArray[np.float32],
    ask_onnx: Ask,
) -> None:
    """The first or the last layer's weights are float32, and what it gives is not rounded.

    The others are int8, bytes go in all the same, and the answers are nearly Keras'.
    """
    plan = Plan(excluded_layers=(weighted(prepared)[position].name,))
    model = quantized(prepared, case.spec, sample, plan)
    kept = weighted(model)[position]
    assert constants(model)[kept.input[1]].dtype == np.float32
    assert "QuantizeLinear" not in readers(model, kept.output[0])
    others = [node for node in weighted(model) if node != kept]
    assert {makers(model)[node.input[1]] for node in others} == {"DequantizeLinear"}
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert_near(ask_onnx(model, images), expected)


def test_other_layers_do_not(bytewise: onnx.ModelProto) -> None:
    """Without float layers, what the first layer gives is rounded at once, activation and all."""
    assert readers(bytewise, weighted(bytewise)[0].output[0]) == {"QuantizeLinear"}


def test_a_network_that_begins_in_float(few: Splits, source: Source, ask_onnx: Ask) -> None:
    """Where a float operator looks at the pixels first, they are dequantized right before it."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Activation("tanh"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    spec = dataclasses.replace(source.spec, scale=1 / 127.5, offset=-1.0)
    prepared = prepare_onnx(export_onnx(model, spec=spec))
    found = quantized(prepared, spec, few.train.images[:50], Plan())
    first, second = found.graph.node[:2]
    assert (first.op_type, second.op_type) == ("DequantizeLinear", "Tanh")
    assert first.input[0] == found.graph.input[0].name
    images = few.test.images[:100]
    expected = model.predict(to_tensor(images, spec), verbose=0)
    assert_near(ask_onnx(found, images), expected)


@pytest.mark.parametrize("offset", [0.5, -2.0])
def test_zero_outside_of_the_pixels_is_refused(offset: float, source: Source, few: Splits) -> None:
    """Where no byte means zero, which padding needs, one line says what pixels mean."""
    spec = dataclasses.replace(source.spec, offset=offset)
    prepared = prepare_onnx(export_onnx(source.model, spec=spec))
    with pytest.raises(ExportError, match=r"^int8 ONNX: zero lies outside [^\n]+$") as caught:
        quantized(prepared, spec, few.train.images[:2], Plan())
    assert f"0.00392157 * byte + {offset:g}" in str(caught.value)


def test_what_cannot_be_quantized_is_said(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranges that are not the network's give one line, and no litter."""
    monkeypatch.chdir(tmp_path)
    prepared = prepare_onnx(export_onnx(source.model, spec=source.spec))
    with pytest.raises(ExportError, match=r"^cannot quantize to int8 ONNX: [^\n]+$"):
        quantize_onnx(prepared, spec=source.spec, ranges={}, plan=Plan(), target="arm64")
    assert not list(tmp_path.iterdir())
