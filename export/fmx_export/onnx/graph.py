"""The graph of an ONNX file: float, QDQ, or of operators that are quantized themselves."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import onnx

from fmx_export.common.graph import Affine, Tensor
from fmx_export.common.graph_count import Constant, Node, count, is_float, product, values

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from fmx_export.common.graph import Graph

__all__ = ["read_onnx"]

_CONVERSIONS = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
_COMPUTE_NOTHING = (*_CONVERSIONS, "Shape", "Size")
_INTEGER_PRODUCTS = ("Gemm", "MatMul")
"""Computed in integers where dequantized tensors go in, whether or not the result is quantized."""
_HAND_ON = (
    *_CONVERSIONS[:2], "Cast", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze",
)  # fmt: skip


class _Roles(NamedTuple):
    """Which inputs of an operator are values, when others are scales, zero points or settings."""

    values: tuple[int, ...]
    scaled: tuple[int, ...] = ()
    """Those that a scale and a zero point follow."""
    output_scale: int | None = None
    """Where the output's scale stands, before its zero point."""


_ROLES = {
    "QuantizeLinear": _Roles((0,), output_scale=1),
    "DequantizeLinear": _Roles((0,), scaled=(0,)),
    "QLinearConv": _Roles((0, 3, 8), scaled=(0, 3), output_scale=6),
    "QLinearMatMul": _Roles((0, 3), scaled=(0, 3), output_scale=6),
    "QGemm": _Roles((0, 3, 6), scaled=(0, 3), output_scale=7),
    "ConvInteger": _Roles((0, 1)),
    "MatMulInteger": _Roles((0, 1)),
    "QLinearAdd": _Roles((0, 3), scaled=(0, 3), output_scale=6),
    "QLinearMul": _Roles((0, 3), scaled=(0, 3), output_scale=6),
    "QLinearAveragePool": _Roles((0,), scaled=(0,), output_scale=3),
    "QLinearGlobalAveragePool": _Roles((0,), scaled=(0,), output_scale=3),
    "QLinearLeakyRelu": _Roles((0,), scaled=(0,), output_scale=3),
    "QLinearSigmoid": _Roles((0,), scaled=(0,), output_scale=3),
    "QLinearSoftmax": _Roles((0,), scaled=(0,), output_scale=3),
    "Resize": _Roles((0,)),
}

# onnx infers no shapes through onnxruntime's own operators, unless it is told what they compute
_CONTRIBUTED = (
    """QGemm <transA, transB> (a, a_scale, a_zero, b, b_scale, b_zero, c, y_scale, y_zero) => (y) {
        x = DequantizeLinear (a, a_scale, a_zero)
        w = DequantizeLinear (b, b_scale, b_zero)
        product = Gemm <transA: int = @transA, transB: int = @transB> (x, w)
        y = QuantizeLinear (product, y_scale, y_zero)
    }""",
    *(
        f"""{name} (a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero) => (y) {{
            x = DequantizeLinear (a, a_scale, a_zero)
            z = DequantizeLinear (b, b_scale, b_zero)
            both = Add (x, z)
            y = QuantizeLinear (both, y_scale, y_zero)
        }}"""
        for name in ("QLinearAdd", "QLinearMul")
    ),
    *(
        f"""{name} (x, x_scale, x_zero, y_scale, y_zero) => (y) {{
            z = DequantizeLinear (x, x_scale, x_zero)
            y = QuantizeLinear (z, y_scale, y_zero)
        }}"""
        for name in ("QLinearLeakyRelu", "QLinearSigmoid", "QLinearSoftmax")
    ),
)


def read_onnx(content: bytes) -> Graph:
    """See `fmx_export.common.graph.read_graph`; damaged files raise what the parser raises."""
    graph = _with_shapes(onnx.ModelProto.FromString(content)).graph
    stored = _stored(graph)
    affines = _affines(graph, stored)
    tensors = _Tensors(graph, stored, affines)
    constants: dict[Hashable, Constant] = {
        name: Constant(place=name, tensor=tensors[name], size_bytes=_size_bytes(proto))
        for name, proto in stored.items()
    }
    return count(
        list(_nodes(graph, tensors, constants)),
        constants,
        model_format="onnx",
        inputs=tuple(tensors[item.name] for item in graph.input if item.name not in stored),
        outputs=tuple(tensors[item.name] for item in graph.output),
        size_bytes=len(content),
    )


def _with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    used = {node.op_type for node in model.graph.node if node.domain == "com.microsoft"}
    header = '<domain: "com.microsoft", opset_import: ["" : 17]> '
    told = [onnx.parser.parse_function(header + text) for text in _CONTRIBUTED]
    model.functions.extend(function for function in told if function.name in used)
    return onnx.shape_inference.infer_shapes(model)


def _stored(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """The tensors whose values are in the file, by name."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            stored[node.output[0]] = node.attribute[0].t
    return stored


def _size_bytes(tensor: onnx.TensorProto) -> int:
    # small tensors may lie in a field of their type instead
    return len(tensor.raw_data) or int(tensor.ByteSize())


def _affines(
    graph: onnx.GraphProto, stored: Mapping[str, onnx.TensorProto]
) -> dict[str, Affine | None]:
    """What operators say of the integers that they read and give, by the tensors' names."""
    found: dict[str, Affine | None] = {}
    for node in graph.node:
        roles = _ROLES.get(node.op_type, _Roles(()))
        for at in roles.scaled:
            found[node.input[at]] = _affine(node, at + 1, stored)
        if roles.output_scale is not None:
            found[node.output[0]] = _affine(node, roles.output_scale, stored)
    return found


def _affine(node: onnx.NodeProto, at: int, stored: Mapping[str, onnx.TensorProto]) -> Affine | None:
    """From the scale at that input and the zero point behind it; None if it is computed."""
    if node.input[at] not in stored:
        return None
    scales = onnx.numpy_helper.to_array(stored[node.input[at]]).ravel()
    zero_point = stored.get(node.input[at + 1]) if len(node.input) > at + 1 else None
    zero_points = (
        [0] * len(scales)
        if zero_point is None
        else onnx.numpy_helper.to_array(zero_point).ravel().tolist()
    )
    return Affine(scales=tuple(map(float, scales)), zero_points=tuple(map(int, zero_points)))


class _Tensors:
    """What is known of each tensor, by name."""

    def __init__(
        self,
        graph: onnx.GraphProto,
        stored: Mapping[str, onnx.TensorProto],
        affines: Mapping[str, Affine | None],
    ) -> None:
        infos = (*graph.input, *graph.value_info, *graph.output)
        self._types = {item.name: item.type.tensor_type for item in infos}
        self._stored = stored
        self._affines = affines

    def __getitem__(self, name: str) -> Tensor:
        shape: tuple[int | None, ...] | None = None
        number = 0
        if name in self._stored:
            shape, number = tuple(self._stored[name].dims), self._stored[name].data_type
        elif name in self._types:
            number = self._types[name].elem_type
            if self._types[name].HasField("shape"):
                shape = tuple(_size(size) for size in self._types[name].shape.dim)
        return Tensor(
            name=_text(name), shape=shape, dtype=_dtype(number), affine=self._affines.get(name)
        )


def _text(name: str | bytes) -> str:
    # protobuf gives bytes where they are no text
    return name if isinstance(name, str) else name.decode("utf-8", "replace")


def _size(dimension: Any) -> int | None:
    return int(dimension.dim_value) if dimension.HasField("dim_value") else None


def _dtype(number: int) -> str:
    name: str = onnx.TensorProto.DataType.Name(number).lower()
    return {"undefined": "unknown", "float": "float32", "double": "float64"}.get(name, name)


def _nodes(
    graph: onnx.GraphProto, tensors: _Tensors, constants: Mapping[Hashable, Constant]
) -> Iterator[Node]:
    integers = _stand_ins(graph)
    for node in graph.node:
        roles = _ROLES.get(node.op_type)
        positions = roles.values if roles else range(len(node.input))
        inputs = [node.input[at] for at in positions if at < len(node.input) and node.input[at]]
        results = () if node.op_type in _INTEGER_PRODUCTS else node.output
        touched = [name for name in (*inputs, *results) if name and name not in constants]
        reads = [tensors[name] for name in inputs]
        yield Node(
            type=_text(node.op_type),
            name=_text(node.name or node.output[0]),
            inputs=tuple(inputs),
            outputs=tuple(node.output),
            output=tensors[node.output[0]],
            multiply_accumulates=_multiply_accumulates(node, reads, tensors[node.output[0]]),
            is_float=node.op_type not in _COMPUTE_NOTHING
            and any(is_float(tensors[name]) for name in touched if name not in integers),
            hands_on=node.op_type in _HAND_ON,
        )


def _stand_ins(graph: onnx.GraphProto) -> set[str]:
    """Float tensors that QDQ has in the place of integers: dequantized, or only to be quantized."""
    readers: dict[str, set[str]] = defaultdict(set)
    for node in graph.node:
        for name in node.input:
            readers[name].add(node.op_type)
    for item in graph.output:
        readers[item.name].add("")
    made = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    return made | {name for name, kinds in readers.items() if kinds == {"QuantizeLinear"}}


def _multiply_accumulates(
    node: onnx.NodeProto, inputs: Sequence[Tensor], output: Tensor
) -> int | None:
    """See `Operator`. Where groups of channels are apart, the weights' shape says so already."""
    settings = {item.name: item.i for item in node.attribute}
    match node.op_type:
        case "Conv" | "FusedConv" | "QLinearConv" | "ConvInteger":  # weights (out, in, …)
            return _times(values(output.shape), inputs[1], slice(1, None))
        case "ConvTranspose":  # (in, out, …)
            return _times(values(inputs[0].shape), inputs[1], slice(1, None))
        case "Gemm" | "QGemm" | "FusedGemm":
            summed = 0 if settings.get("transA") else 1
            return _times(values(output.shape), inputs[0], slice(summed, summed + 1))
        case "MatMul" | "FusedMatMul" | "QLinearMatMul" | "MatMulInteger":
            summed = -2 if settings.get("transA") else -1
            return _times(values(output.shape), inputs[0], slice(summed, summed + 1 or None))
    return 0


def _times(number: int | None, tensor: Tensor, sizes: slice) -> int | None:
    return None if tensor.shape is None else product(number, *tensor.shape[sizes])
