"""Read the graph of a TFLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ai_edge_litert.tools import flatbuffer_utils

from fmx_export.common.graph import QuantizationParameters, Tensor
from fmx_export.common.graph_costs import (
    Constant,
    Node,
    build_graph,
    element_count,
    is_float,
    multiply,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from fmx_export.common.graph import Graph

__all__ = ["read_tflite"]

_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
_NO_ARITHMETIC = (*_CONVERSIONS, "RANK", "SHAPE")
_PASS_THROUGH = (*_CONVERSIONS, "CAST", "DENSIFY", "EXPAND_DIMS", "RESHAPE", "SQUEEZE", "TRANSPOSE")
"""Operators whose output holds the values of their first input."""


def read_tflite(content: bytes) -> Graph:
    """Read the operators of the first subgraph.

    Args:
        content: the whole file. A damaged one raises whatever the flatbuffer parser raises, see
            `fmx_export.pipeline.read_graph`.
    """
    model = flatbuffer_utils.read_model_from_bytearray(content)
    main = model.subgraphs[0]
    tensors = [_tensor(tensor) for tensor in main.tensors]
    constants: dict[Hashable, Constant] = {}
    for key, tensor in enumerate(main.tensors):
        data = model.buffers[tensor.buffer].data
        if data is not None and len(data):
            buffer = int(tensor.buffer)
            constants[key] = Constant(buffer=buffer, tensor=tensors[key], size_bytes=len(data))
    return build_graph(
        [_node(model, operator, tensors, constants) for operator in main.operators],
        constants,
        model_format="tflite",
        inputs=tuple(tensors[key] for key in main.inputs),
        outputs=tuple(tensors[key] for key in main.outputs),
        size_bytes=len(content),
    )


def _tensor(tensor: Any) -> Tensor:
    # where there is a shape signature, it holds -1 for each open size
    sizes = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
    return Tensor(
        name=_text(tensor.name),
        shape=tuple(None if size < 0 else int(size) for size in sizes or ()),
        dtype=flatbuffer_utils.type_to_name(tensor.type).lower(),
        quantization=_quantization(tensor.quantization),
    )


def _text(name: bytes | None) -> str:
    return (name or b"").decode("utf-8", "replace")


def _quantization(stored: Any) -> QuantizationParameters | None:
    if stored is None or stored.scale is None or not len(stored.scale):
        return None
    scales = tuple(map(float, stored.scale))
    zero_points = stored.zeroPoint
    if zero_points is None or not len(zero_points):
        zero_points = (0,) * len(scales)
    return QuantizationParameters(scales=scales, zero_points=tuple(map(int, zero_points)))


def _node(
    model: Any, operator: Any, tensors: Sequence[Tensor], constants: dict[Hashable, Constant]
) -> Node:
    operator_type = _operator_type(model, operator)
    # -1 stands for an omitted input
    inputs = tuple(key for key in operator.inputs or () if key >= 0)
    outputs = tuple(operator.outputs)
    activations = [tensors[key] for key in (*inputs, *outputs) if key not in constants]
    return Node(
        type=operator_type,
        name=tensors[outputs[0]].name,
        inputs=inputs,
        outputs=outputs,
        output=tensors[outputs[0]],
        multiply_accumulates=_multiply_accumulates(
            operator_type, operator, [tensors[key] for key in inputs], tensors[outputs[0]]
        ),
        is_float=operator_type not in _NO_ARITHMETIC and any(map(is_float, activations)),
        pass_through=operator_type in _PASS_THROUGH,
    )


def _operator_type(model: Any, operator: Any) -> str:
    name = flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex)
    if name == "CUSTOM":
        return _text(model.operatorCodes[operator.opcodeIndex].customCode) or name
    return name or "unknown"


def _multiply_accumulates(
    operator_type: str, operator: Any, inputs: Sequence[Tensor], output: Tensor
) -> int | None:
    """See `Operator`; grouped convolutions need no case, as their weights have fewer channels."""
    match operator_type:
        case "CONV_2D":  # weights (out, height, width, in)
            return multiply(element_count(output.shape), *_sizes(inputs[1])[1:])
        case "DEPTHWISE_CONV_2D":  # weights (1, height, width, out)
            return multiply(element_count(output.shape), *_sizes(inputs[1])[1:3])
        case "CONV_3D":  # weights (depth, height, width, in, out)
            return multiply(element_count(output.shape), *_sizes(inputs[1])[:4])
        case "TRANSPOSE_CONV":  # inputs: output shape, weights (out, height, width, in), image
            return multiply(element_count(inputs[2].shape), *_sizes(inputs[1])[:3])
        case "FULLY_CONNECTED":  # weights (out, in)
            return multiply(element_count(output.shape), _sizes(inputs[1])[1])
        case "BATCH_MATMUL":
            inner_axis = -2 if operator.builtinOptions.adjX else -1
            return multiply(element_count(output.shape), _sizes(inputs[0])[inner_axis])
    return 0


def _sizes(tensor: Tensor) -> tuple[int | None, ...]:
    return tensor.shape or ()
