"""uint8 input and unrounded output of int8 ONNX models."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import onnx
import pytest
from keras import layers

from fmx_export.onnx.convert import export_onnx
from fmx_export.onnx.quantize import prepare_onnx
from fmx_export.onnx.uint8_input import (
    first_computed_tensor,
    input_quantization,
    to_uint8_input,
)
from fmx_runtime.errors import ExportError
from fmx_runtime.images.preprocess import to_tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits

    Constants = Callable[[onnx.ModelProto], dict[str, NDArray[Any]]]
    Quantize = Callable[..., onnx.ModelProto]
    Run = Callable[[onnx.ModelProto, NDArray[Any]], NDArray[np.float32]]


def test_model_is_valid(int8_model: onnx.ModelProto) -> None:
    """Models import operator set 17 only, pass the checker, and contain no notes of the tools."""
    onnx.checker.check_model(int8_model, full_check=True)
    assert [(item.domain, item.version) for item in int8_model.opset_import] == [("", 17)]
    assert not int8_model.metadata_props
    assert not int8_model.graph.doc_string


def test_shapes_are_constants(int8_model: onnx.ModelProto) -> None:
    """The batch size is one, so no operator computes a shape."""
    operators = {node.op_type for node in int8_model.graph.node}
    assert not operators & {"Shape", "Gather", "Slice", "Cast"}


def test_input_is_uint8(
    case: SourceModel, int8_model: onnx.ModelProto, constants: Constants
) -> None:
    """The input is uint8, dequantized with the scale and zero point of the input specification."""
    image = int8_model.graph.input[0]
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    sizes = image.type.tensor_type.shape.dim
    assert tuple(size.dim_value for size in sizes) == (1, *case.spec.shape)
    tensor, values = first_computed_tensor(int8_model.graph), constants(int8_model)
    consumers = [node for node in int8_model.graph.node if tensor in node.input]
    assert consumers
    for node in consumers:
        assert node.op_type == "DequantizeLinear"
        scale, zero_point = (values[name] for name in node.input[1:])
        assert scale == np.float32(case.spec.scale)
        assert int(zero_point) == pytest.approx(-case.spec.offset / case.spec.scale, abs=0.5)


def test_input_range_does_not_depend_on_the_calibration_images(
    source: SourceModel, few: Splits, quantize: Quantize, constants: Constants
) -> None:
    """Calibrated with dark images only, the input's scale and zero point are the spec's."""
    prepared = prepare_onnx(export_onnx(source.model, spec=source.spec))
    dark = quantize(prepared, source.spec, few.train.images[:20] // 4)
    first = next(node for node in dark.graph.node if node.op_type == "DequantizeLinear")
    scale, zero_point = (constants(dark)[name] for name in first.input[1:])
    assert (scale, zero_point) == (np.float32(1 / 255), 0)


def test_output_is_not_rounded(
    case: SourceModel, int8_model: onnx.ModelProto, images: NDArray[np.uint8], run_onnx: Run
) -> None:
    """The last dense layer has float output, without the 256 steps of 8 bits; so has a softmax."""
    last = int8_model.graph.node[-1]
    assert last.output[0] == int8_model.graph.output[0].name
    assert last.op_type in (["MatMul", "Gemm"] if case.name == "logits" else ["Softmax"])
    if last.op_type == "Softmax":
        producers = {name: node.op_type for node in int8_model.graph.node for name in node.output}
        assert producers[last.input[0]] in {"MatMul", "Gemm"}
    assert len(np.unique(run_onnx(int8_model, images))) > 256


def test_float_first_operator_reads_dequantized_input(
    few: Splits,
    source: SourceModel,
    run_onnx: Run,
    quantize: Quantize,
    assert_close: Callable[..., None],
) -> None:
    """If the first operator computes in float, a DequantizeLinear is put in front of it."""
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
    int8_model = quantize(prepared, spec, few.train.images[:50])
    first, second = int8_model.graph.node[:2]
    assert (first.op_type, second.op_type) == ("DequantizeLinear", "Tanh")
    assert first.input[0] == int8_model.graph.input[0].name
    images = few.test.images[:100]
    expected = model.predict(to_tensor(images, spec), verbose=0)
    assert_close(run_onnx(int8_model, images), expected)


@pytest.mark.parametrize(
    ("scale", "offset", "zero_point"), [(1 / 255, 0.0, 0), (1 / 127.5, -1.0, 128), (1.0, 0.0, 0)]
)
def test_input_quantization(
    scale: float, offset: float, zero_point: int, source: SourceModel
) -> None:
    """Scale and zero point are those with which a byte stands for itself."""
    spec = dataclasses.replace(source.spec, scale=scale, offset=offset)
    actual_scale, actual_zero_point = input_quantization(spec)
    assert (actual_scale.dtype, actual_zero_point.dtype) == (np.float32, np.uint8)
    assert actual_scale == np.float32(scale)
    assert actual_zero_point == zero_point


@pytest.mark.parametrize(("offset", "input_range"), [(0.5, r"0\.5\.\.1\.5"), (-2.0, r"-2\.\.-1")])
def test_input_range_without_zero_is_refused(
    offset: float, input_range: str, source: SourceModel, few: Splits, quantize: Quantize
) -> None:
    """If no byte stands for zero, which padding needs, the error names the input range."""
    spec = dataclasses.replace(source.spec, offset=offset)
    prepared = prepare_onnx(export_onnx(source.model, spec=spec))
    message = rf"^int8 ONNX needs an input range that includes zero; [^\n]* {input_range} [^\n]+$"
    with pytest.raises(ExportError, match=message) as caught:
        quantize(prepared, spec, few.train.images[:2])
    assert f"0.00392157 * byte + {offset:g}" in str(caught.value)


def test_first_computed_tensor(onnx_floats: onnx.ModelProto) -> None:
    """The tensor holds the image's values, behind reshapes and transpositions only."""
    graph = onnx_floats.graph
    tensor = first_computed_tensor(graph)
    producers = {name: node for node in graph.node for name in node.output}
    while tensor != graph.input[0].name:
        assert producers[tensor].op_type in {"Reshape", "Transpose"}
        tensor = producers[tensor].input[0]
    consumers = [n.op_type for n in graph.node if first_computed_tensor(graph) in n.input]
    assert len(consumers) > 1 or consumers[0] not in {"Reshape", "Transpose"}


def test_invalid_result_raises_an_export_error(source: SourceModel) -> None:
    """A float model, whose convolution would read uint8, is an error of one line."""
    float_model = export_onnx(source.model, spec=source.spec)
    float_model.graph.node[0].op_type = "QuantizeLinear"
    with pytest.raises(ExportError, match=r"^the int8 ONNX model is not valid: [^\n]+$"):
        to_uint8_input(float_model, source.spec)
