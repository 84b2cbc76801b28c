"""The graph of a TFLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ai_edge_litert.tools import flatbuffer_utils

from fmx_export.common.graph import Affine, Tensor
from fmx_export.common.graph_count import Constant, Node, count, is_float, product, values

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from fmx_export.common.graph import Graph

__all__ = ["read_tflite"]

_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
_COMPUTE_NOTHING = (*_CONVERSIONS, "RANK", "SHAPE")
_HAND_ON = (*_CONVERSIONS, "CAST", "DENSIFY", "EXPAND_DIMS", "RESHAPE", "SQUEEZE", "TRANSPOSE")


def read_tflite(content: bytes) -> Graph:
    """See `fmx_export.pipeline.read_graph`; damaged files raise what the parser raises."""
    model = flatbuffer_utils.read_model_from_bytearray(content)
    main = model.subgraphs[0]
    tensors = [_tensor(tensor) for tensor in main.tensors]
    constants: dict[Hashable, Constant] = {}
    for key, tensor in enumerate(main.tensors):
        data = model.buffers[tensor.buffer].data
        if data is not None and len(data):
            place = int(tensor.buffer)
            constants[key] = Constant(place=place, tensor=tensors[key], size_bytes=len(data))
    return count(
        [_node(model, operator, tensors, constants) for operator in main.operators],
        constants,
        model_format="tflite",
        inputs=tuple(tensors[key] for key in main.inputs),
        outputs=tuple(tensors[key] for key in main.outputs),
        size_bytes=len(content),
    )


def _tensor(tensor: Any) -> Tensor:
    # the signature has the sizes that are open, as -1
    sizes = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
    return Tensor(
        name=_text(tensor.name),
        shape=tuple(None if size < 0 else int(size) for size in sizes or ()),
        dtype=flatbuffer_utils.type_to_name(tensor.type).lower(),
        affine=_affine(tensor.quantization),
    )


def _text(name: bytes | None) -> str:
    return (name or b"").decode("utf-8", "replace")


def _affine(quantization: Any) -> Affine | None:
    if quantization is None or quantization.scale is None or not len(quantization.scale):
        return None
    scales = tuple(map(float, quantization.scale))
    zero_points = quantization.zeroPoint
    if zero_points is None or not len(zero_points):
        zero_points = (0,) * len(scales)
    return Affine(scales=scales, zero_points=tuple(map(int, zero_points)))


def _node(
    model: Any, operator: Any, tensors: Sequence[Tensor], constants: dict[Hashable, Constant]
) -> Node:
    kind = _kind(model, operator)
    # -1 stands for what was left out
    inputs = tuple(key for key in operator.inputs or () if key >= 0)
    outputs = tuple(operator.outputs)
    touched = [tensors[key] for key in (*inputs, *outputs) if key not in constants]
    return Node(
        type=kind,
        name=tensors[outputs[0]].name,
        inputs=inputs,
        outputs=outputs,
        output=tensors[outputs[0]],
        multiply_accumulates=_multiply_accumulates(
            kind, operator, [tensors[key] for key in inputs], tensors[outputs[0]]
        ),
        is_float=kind not in _COMPUTE_NOTHING and any(map(is_float, touched)),
        hands_on=kind in _HAND_ON,
    )


def _kind(model: Any, operator: Any) -> str:
    kind = flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex)
    if kind == "CUSTOM":
        return _text(model.operatorCodes[operator.opcodeIndex].customCode) or kind
    return kind or "unknown"


def _multiply_accumulates(
    kind: str, operator: Any, inputs: Sequence[Tensor], output: Tensor
) -> int | None:
    """See `Operator`. Where groups of channels are apart, the weights' shape says so already."""
    match kind:
        case "CONV_2D":  # weights (out, height, width, in)
            return product(values(output.shape), *_sizes(inputs[1])[1:])
        case "DEPTHWISE_CONV_2D":  # (1, height, width, out)
            return product(values(output.shape), *_sizes(inputs[1])[1:3])
        case "CONV_3D":  # (depth, height, width, in, out)
            return product(values(output.shape), *_sizes(inputs[1])[:4])
        case "TRANSPOSE_CONV":  # output's shape, weights (out, height, width, in), image
            return product(values(inputs[2].shape), *_sizes(inputs[1])[:3])
        case "FULLY_CONNECTED":  # (out, in)
            return product(values(output.shape), _sizes(inputs[1])[1])
        case "BATCH_MATMUL":
            summed = -2 if operator.builtinOptions.adjX else -1
            return product(values(output.shape), _sizes(inputs[0])[summed])
    return 0


def _sizes(tensor: Tensor) -> tuple[int | None, ...]:
    return tensor.shape or ()
