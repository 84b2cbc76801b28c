"""A quantized ONNX model that takes an image's bytes: uint8 in, float32 out.

onnxruntime's quantizer returns a model with float input, which quantizes the image first. An
image consists of bytes already, so this step is removed: with the scale and the zero point of the
input specification, a byte is its own quantized value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx

from fmx_export.onnx.graph_editing import consumers, producers, rename_inputs
from fmx_export.onnx.normalize import drop_unused_opsets, sort_topologically
from fmx_runtime.errors import ExportError
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["first_computed_tensor", "input_quantization", "to_uint8_input"]

_DATA_MOVEMENT = ("Reshape", "Transpose", "Squeeze", "Unsqueeze")
"""Operators that move values without computing with them."""

_INTEGER_PRODUCTS = ("Gemm", "MatMul")
"""Operators that onnxruntime computes in integers even where their result is not quantized."""

_PREFIX = "pixels"
"""Begins the names of the added DequantizeLinear; a part of the file's bytes, so it is fixed."""


def to_uint8_input(quantized: onnx.ModelProto, spec: InputSpec) -> onnx.ModelProto:
    """Change a QDQ model to uint8 input and to float output that is not rounded to 8 bits.

    The QuantizeLinear of the input is removed. Where the first operator is excluded from
    quantization, a DequantizeLinear is put in front of it instead. The QuantizeLinear and
    DequantizeLinear of the output are removed too.

    Args:
        quantized: a QDQ model with float input, as `fmx_export.onnx.quantize.quantize_onnx`
            returns it; not changed.
        spec: the Keras model's input, float32.

    Returns:
        A model with the input uint8 ``(1, height, width, channels)``.

    Raises:
        ExportError: the result is no valid ONNX model.
    """
    model = onnx.ModelProto()
    model.CopyFrom(quantized)
    graph = model.graph
    image = graph.input[0].name
    first = first_computed_tensor(graph)
    readers = consumers(graph, first)
    if all(node.op_type == "QuantizeLinear" for node in readers):
        for node in readers:
            rename_inputs(graph, node.output[0], first)
            graph.node.remove(node)
    else:
        _dequantize(graph, image, *input_quantization(spec))
    graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    _remove_output_rounding(graph)
    del graph.value_info[:]  # it holds the former types; they are inferred anew on load
    model.ClearField("metadata_props")  # onnxruntime's notes about its own preprocessing
    sort_topologically(graph)
    drop_unused_opsets(model)
    try:
        onnx.checker.check_model(model, full_check=True)
    # the checker and shape inference raise library-specific types
    except Exception as error:
        raise ExportError(
            f"the int8 ONNX model is not valid: {error_summary(error)}; "
            "export the other formats with --format, and report the network"
        ) from error
    return model


def input_quantization(spec: InputSpec) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return the scale and the zero point with which an image's byte is its quantized value.

    Args:
        spec: the Keras model's input, float32.

    Returns:
        The scale, float32, and the zero point, uint8, rounded to a whole number; both scalars.

    Raises:
        ExportError: 0.0 lies outside the input range, so no byte stands for it. Zero padding
            and int8 arithmetic need one.
    """
    zero_point = round(-spec.offset / spec.scale)
    if not 0 <= zero_point <= np.iinfo(np.uint8).max:
        low, high = spec.offset, 255 * spec.scale + spec.offset
        raise ExportError(
            f"int8 ONNX needs an input range that includes zero; that of this model is "
            f"{low:g}..{high:g} ({spec.scale:g} * byte + {spec.offset:g}); "
            "export a float format instead"
        )
    return np.array(spec.scale, np.float32), np.array(zero_point, np.uint8)


def first_computed_tensor(graph: onnx.GraphProto) -> str:
    """Return the name of the input tensor behind the operators that only move its values."""
    tensor: str = graph.input[0].name
    readers = consumers(graph, tensor)
    while len(readers) == 1 and readers[0].op_type in _DATA_MOVEMENT:
        tensor = readers[0].output[0]
        readers = consumers(graph, tensor)
    return tensor


def _dequantize(
    graph: onnx.GraphProto, image: str, scale: NDArray[np.float32], zero_point: NDArray[np.uint8]
) -> None:
    """Put a DequantizeLinear between the image and the operators that read it."""
    values = f"{_PREFIX}/values"
    rename_inputs(graph, image, values)
    constants = {f"{_PREFIX}/scale": scale, f"{_PREFIX}/zero_point": zero_point}
    graph.initializer.extend(
        onnx.numpy_helper.from_array(value, name) for name, value in constants.items()
    )
    node = onnx.helper.make_node(
        "DequantizeLinear", [image, *constants], [values], name=f"{_PREFIX}/dequantize"
    )
    graph.node.insert(0, node)


def _remove_output_rounding(graph: onnx.GraphProto) -> None:
    """Remove the QuantizeLinear and DequantizeLinear behind the last quantized operator.

    Only where that operator is one that onnxruntime computes in integers without them.
    """
    producer_of = producers(graph)
    last = producer_of[graph.output[0].name]
    softmax = last if last.op_type == "Softmax" else None  # it is never quantized itself
    dequantize = producer_of.get(last.input[0]) if softmax else last
    if dequantize is None or dequantize.op_type != "DequantizeLinear":
        return
    quantize = producer_of.get(dequantize.input[0])
    if quantize is None or quantize.op_type != "QuantizeLinear":
        return
    if len(consumers(graph, dequantize.input[0])) > 1:
        return
    product = producer_of.get(quantize.input[0])
    if product is None or product.op_type not in _INTEGER_PRODUCTS:
        return
    if softmax:
        softmax.input[0] = quantize.input[0]
    else:
        product.output[list(product.output).index(quantize.input[0])] = graph.output[0].name
    graph.node.remove(dequantize)
    graph.node.remove(quantize)
