"""Read the graph of an ONNX file: a float one, QDQ, or one of quantized operators."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import onnx

from fmx_export.common.graph import QuantizationParameters, Tensor
from fmx_export.common.graph_costs import (
    Constant,
    Node,
    build_graph,
    element_count,
    is_float,
    multiply,
)
from fmx_export.onnx.operators import (
    CONTRIB_FUNCTIONS,
    INPUT_ROLES,
    INTEGER_PRODUCTS,
    NO_ARITHMETIC,
    PASS_THROUGH,
    InputRoles,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from fmx_export.common.graph import Graph

__all__ = ["read_onnx"]


def read_onnx(content: bytes) -> Graph:
    """Read the graph of an ONNX file, see `fmx_export.pipeline.read_graph`.

    Raises:
        Exception: the file is damaged; onnx raises many types.
    """
    graph = _infer_shapes(onnx.ModelProto.FromString(content)).graph
    stored = _stored_tensors(graph)
    tensors = _Tensors(graph, stored, _quantization_parameters(graph, stored))
    constants: dict[Hashable, Constant] = {
        name: Constant(buffer=name, tensor=tensors[name], size_bytes=_size_bytes(proto))
        for name, proto in stored.items()
    }
    return build_graph(
        list(_nodes(graph, tensors, constants)),
        constants,
        model_format="onnx",
        inputs=tuple(tensors[item.name] for item in graph.input if item.name not in stored),
        outputs=tuple(tensors[item.name] for item in graph.output),
        size_bytes=len(content),
    )


def _infer_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with the shapes of all tensors, also those of onnxruntime's operators."""
    contrib = {node.op_type for node in model.graph.node if node.domain == "com.microsoft"}
    model.functions.extend(CONTRIB_FUNCTIONS[name] for name in CONTRIB_FUNCTIONS if name in contrib)
    return onnx.shape_inference.infer_shapes(model)


def _stored_tensors(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Return the tensors whose values are in the file, by name."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            stored[node.output[0]] = node.attribute[0].t
    return stored


def _size_bytes(tensor: onnx.TensorProto) -> int:
    """Return the size of a stored tensor; small ones may lie in a field of their type."""
    return len(tensor.raw_data) or int(tensor.ByteSize())


def _quantization_parameters(
    graph: onnx.GraphProto, stored: Mapping[str, onnx.TensorProto]
) -> dict[str, QuantizationParameters | None]:
    """Return scales and zero points of the quantized tensors, by tensor name."""
    found: dict[str, QuantizationParameters | None] = {}
    for node in graph.node:
        roles = INPUT_ROLES.get(node.op_type, InputRoles(()))
        for position in roles.scaled:
            found[node.input[position]] = _parameters_at(node, position + 1, stored)
        if roles.output_scale is not None:
            found[node.output[0]] = _parameters_at(node, roles.output_scale, stored)
    return found


def _parameters_at(
    node: onnx.NodeProto, position: int, stored: Mapping[str, onnx.TensorProto]
) -> QuantizationParameters | None:
    """Return the scale at an input's position and the zero point behind it.

    Returns:
        None where the scale is not in the file, because it is computed.
    """
    if node.input[position] not in stored:
        return None
    scales = onnx.numpy_helper.to_array(stored[node.input[position]]).ravel()
    has_zero_point = len(node.input) > position + 1
    zero_point = stored.get(node.input[position + 1]) if has_zero_point else None
    zero_points = (
        [0] * len(scales)
        if zero_point is None
        else onnx.numpy_helper.to_array(zero_point).ravel().tolist()
    )
    return QuantizationParameters(
        scales=tuple(map(float, scales)), zero_points=tuple(map(int, zero_points))
    )


class _Tensors:
    """What the file states about each tensor, by tensor name."""

    def __init__(
        self,
        graph: onnx.GraphProto,
        stored: Mapping[str, onnx.TensorProto],
        quantization: Mapping[str, QuantizationParameters | None],
    ) -> None:
        infos = (*graph.input, *graph.value_info, *graph.output)
        self._types = {item.name: item.type.tensor_type for item in infos}
        self._stored = stored
        self._quantization = quantization

    def __getitem__(self, name: str) -> Tensor:
        shape: tuple[int | None, ...] | None = None
        data_type = onnx.TensorProto.UNDEFINED
        if name in self._stored:
            shape, data_type = tuple(self._stored[name].dims), self._stored[name].data_type
        elif name in self._types:
            data_type = self._types[name].elem_type
            if self._types[name].HasField("shape"):
                shape = tuple(_dimension(size) for size in self._types[name].shape.dim)
        return Tensor(
            name=_text(name),
            shape=shape,
            dtype=_dtype_name(data_type),
            quantization=self._quantization.get(name),
        )


def _text(name: str | bytes) -> str:
    """Return a name as text; protobuf returns bytes for text that is not UTF-8."""
    return name if isinstance(name, str) else name.decode("utf-8", "replace")


def _dimension(dimension: Any) -> int | None:
    return int(dimension.dim_value) if dimension.HasField("dim_value") else None


def _dtype_name(data_type: int) -> str:
    """Return NumPy's name of an ONNX data type, where it has one."""
    name: str = onnx.TensorProto.DataType.Name(data_type).lower()
    return {"undefined": "unknown", "float": "float32", "double": "float64"}.get(name, name)


def _nodes(
    graph: onnx.GraphProto, tensors: _Tensors, constants: Mapping[Hashable, Constant]
) -> Iterator[Node]:
    """Yield the graph's operators with what each computes."""
    not_float = _qdq_tensors(graph)
    for node in graph.node:
        roles = INPUT_ROLES.get(node.op_type)
        positions = roles.values if roles else range(len(node.input))
        inputs = [node.input[at] for at in positions if at < len(node.input) and node.input[at]]
        outputs = () if node.op_type in INTEGER_PRODUCTS else node.output
        activations = [name for name in (*inputs, *outputs) if name and name not in constants]
        input_tensors = [tensors[name] for name in inputs]
        output_tensor = tensors[node.output[0]]
        yield Node(
            type=_text(node.op_type),
            name=_text(node.name or node.output[0]),
            inputs=tuple(inputs),
            outputs=tuple(node.output),
            output=output_tensor,
            multiply_accumulates=_multiply_accumulates(node, input_tensors, output_tensor),
            is_float=node.op_type not in NO_ARITHMETIC
            and any(is_float(tensors[name]) for name in activations if name not in not_float),
            pass_through=node.op_type in PASS_THROUGH,
        )


def _qdq_tensors(graph: onnx.GraphProto) -> set[str]:
    """Return the float tensors that a QDQ graph has in the place of integers.

    They come from DequantizeLinear, or only QuantizeLinear reads them. Interpreters merge the
    operators between the two into one that computes in integers.
    """
    consumer_types: dict[str, set[str]] = defaultdict(set)
    for node in graph.node:
        for name in node.input:
            consumer_types[name].add(node.op_type)
    for item in graph.output:
        consumer_types[item.name].add("graph output")
    dequantized = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    return dequantized | {
        name for name, types in consumer_types.items() if types == {"QuantizeLinear"}
    }


def _multiply_accumulates(
    node: onnx.NodeProto, inputs: Sequence[Tensor], output: Tensor
) -> int | None:
    """Return `fmx_export.common.graph.Operator.multiply_accumulates` of a node.

    Grouped convolutions need no special case: their weights have fewer input channels.
    """
    attributes = {item.name: item.i for item in node.attribute}
    match node.op_type:
        case "Conv" | "FusedConv" | "QLinearConv" | "ConvInteger":  # weights (out, in, …)
            return _times(element_count(output.shape), inputs[1], slice(1, None))
        case "ConvTranspose":  # weights (in, out, …)
            return _times(element_count(inputs[0].shape), inputs[1], slice(1, None))
        case "Gemm" | "QGemm" | "FusedGemm":
            axis = 0 if attributes.get("transA") else 1
            return _times(element_count(output.shape), inputs[0], slice(axis, axis + 1))
        case "MatMul" | "FusedMatMul" | "QLinearMatMul" | "MatMulInteger":
            axis = -2 if attributes.get("transA") else -1
            return _times(element_count(output.shape), inputs[0], slice(axis, axis + 1 or None))
    return 0


def _times(number: int | None, tensor: Tensor, axes: slice) -> int | None:
    """Return a number times the sizes of a tensor's axes, None where one is unknown."""
    return None if tensor.shape is None else multiply(number, *tensor.shape[axes])
