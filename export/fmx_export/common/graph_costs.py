"""Count the costs of a graph: parameters, multiply-accumulates and bytes of each operator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmx_export.common.graph import Graph, Operator, Tensor, Totals

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from fmx_runtime.backends.base import ModelFormat

__all__ = ["Constant", "Node", "build_graph", "element_count", "is_float", "multiply"]


@dataclass(frozen=True, kw_only=True)
class Constant:
    """A tensor whose values are stored in the file.

    Attributes:
        buffer: key of the bytes; equal for constants that share them.
        tensor: its name, shape and data type.
        size_bytes: of the stored values.
    """

    buffer: Hashable
    tensor: Tensor
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Node:
    """An operator as a format's reader found it, before its costs are counted.

    Attributes:
        type: the format's name for the operator.
        name: see `Operator.name`.
        inputs: keys of its input tensors, without scales, zero points and omitted inputs.
        outputs: keys of its output tensors.
        output: its first output.
        multiply_accumulates: see `Operator.multiply_accumulates`.
        is_float: see `Operator.is_float`.
        pass_through: whether its output is its first input, only cast, quantized, dequantized or
            rearranged.
    """

    type: str
    name: str
    inputs: tuple[Hashable, ...]
    outputs: tuple[Hashable, ...]
    output: Tensor
    multiply_accumulates: int | None
    is_float: bool
    pass_through: bool


def build_graph(
    nodes: Sequence[Node],
    constants: Mapping[Hashable, Constant],
    *,
    model_format: ModelFormat,
    inputs: tuple[Tensor, ...],
    outputs: tuple[Tensor, ...],
    size_bytes: int,
) -> Graph:
    """Assign each constant to the operator that computes with it, and sum up the costs.

    Args:
        nodes: in topological order.
        constants: by their tensors' keys.
        model_format: of the file.
        inputs: of the graph.
        outputs: of the graph.
        size_bytes: of the file.
    """
    known = dict(constants)
    counted: set[Hashable] = set()
    operators = []
    for index, node in enumerate(nodes):
        if node.pass_through and node.inputs[0] in known:
            # weights that are dequantized first belong to the operator that follows
            known[node.outputs[0]] = known[node.inputs[0]]
            read = []
        else:
            read = [known[key] for key in node.inputs if key in known]
        weights = [constant for constant in read if _is_weights(constant, node)]
        own = {item.buffer: item for item in weights if item.buffer not in counted}
        counted.update(own)
        weight_bytes = sum(constant.size_bytes for constant in own.values())
        operators.append(
            Operator(
                index=index,
                type=node.type,
                name=node.name,
                output=node.output,
                weights=weights[0].tensor if weights else None,
                parameters=sum(element_count(item.tensor.shape) or 0 for item in own.values()),
                multiply_accumulates=node.multiply_accumulates,
                weight_bytes=weight_bytes,
                file_share=weight_bytes / size_bytes,
                is_float=node.is_float,
            )
        )
    return Graph(
        format=model_format,
        inputs=inputs,
        outputs=outputs,
        operators=tuple(operators),
        totals=_totals(operators),
    )


def _is_weights(constant: Constant, node: Node) -> bool:
    """Return whether a constant was learned; shapes, axes and clipping limits were not."""
    if node.multiply_accumulates != 0:
        return True
    tensor = constant.tensor
    return bool(tensor.shape) and (is_float(tensor) or tensor.quantization is not None)


def _totals(operators: Sequence[Operator]) -> Totals:
    counts = [operator.multiply_accumulates for operator in operators]
    known = [count for count in counts if count is not None]
    return Totals(
        operators=len(operators),
        parameters=sum(operator.parameters for operator in operators),
        multiply_accumulates=sum(known) if len(known) == len(counts) else None,
        weight_bytes=sum(operator.weight_bytes for operator in operators),
        file_share=sum(operator.file_share for operator in operators),
        float_operators=sum(operator.is_float for operator in operators),
    )


def is_float(tensor: Tensor) -> bool:
    """Return whether a tensor holds floating-point numbers, of any width."""
    return "float" in tensor.dtype


def element_count(shape: tuple[int | None, ...] | None) -> int | None:
    """Return the number of values of a tensor, for a batch of one.

    Args:
        shape: an open first size counts as 1.

    Returns:
        None where the shape is unknown or another size is open.
    """
    if shape is None:
        return None
    return multiply(*(shape[1:] if shape[:1] == (None,) else shape))


def multiply(*sizes: int | None) -> int | None:
    """Return the product of the sizes, or None if one of them is None."""
    known = [size for size in sizes if size is not None]
    return math.prod(known) if len(known) == len(sizes) else None
