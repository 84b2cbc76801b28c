"""The graph of either format, once its reader has put it in these terms: what costs how much."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmx_export.common.graph import Graph, Operator, Tensor, Totals

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from fmx_runtime.backends.base import ModelFormat

__all__ = ["Constant", "Node", "count", "is_float", "product", "values"]


@dataclass(frozen=True, kw_only=True)
class Constant:
    """A tensor whose values lie in the file."""

    place: Hashable
    """Equal for tensors whose values are the same bytes of the file."""
    tensor: Tensor
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Node:
    """An operator as its reader found it; ``inputs`` and ``outputs`` are the tensors' keys."""

    type: str
    name: str
    inputs: tuple[Hashable, ...]
    """Without scales, zero points and what was left out."""
    outputs: tuple[Hashable, ...]
    output: Tensor
    multiply_accumulates: int | None
    is_float: bool
    hands_on: bool
    """Its output is its first input in another type or order."""


def count(
    nodes: Sequence[Node],
    constants: Mapping[Hashable, Constant],
    *,
    model_format: ModelFormat,
    inputs: tuple[Tensor, ...],
    outputs: tuple[Tensor, ...],
    size_bytes: int,
) -> Graph:
    """Give each constant to the operator that computes with it, and sum up.

    Args:
        nodes: in an order in which each stands after those it needs.
        constants: by their keys.
        model_format: of the file.
        inputs: of the graph.
        outputs: of the graph.
        size_bytes: of the file.
    """
    known = dict(constants)
    taken: set[Hashable] = set()
    operators = []
    for index, node in enumerate(nodes):
        if node.hands_on and node.inputs[0] in known:
            # weights that are dequantized first belong to the operator behind
            known[node.outputs[0]] = known[node.inputs[0]]
            read = []
        else:
            read = [known[key] for key in node.inputs if key in known]
        weights = [constant for constant in read if _are_weights(constant, node)]
        own = {item.place: item for item in weights if item.place not in taken}
        taken.update(own)
        weight_bytes = sum(constant.size_bytes for constant in own.values())
        operators.append(
            Operator(
                index=index,
                type=node.type,
                name=node.name,
                output=node.output,
                weights=weights[0].tensor if weights else None,
                parameters=sum(values(item.tensor.shape) or 0 for item in own.values()),
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


def _are_weights(constant: Constant, node: Node) -> bool:
    """Whether a constant was learned, and is not a shape, an order of axes or a single limit."""
    if node.multiply_accumulates != 0:
        return True
    tensor = constant.tensor
    return bool(tensor.shape) and (is_float(tensor) or tensor.affine is not None)


def _totals(operators: Sequence[Operator]) -> Totals:
    sums = [operator.multiply_accumulates for operator in operators]
    known = [number for number in sums if number is not None]
    return Totals(
        operators=len(operators),
        parameters=sum(operator.parameters for operator in operators),
        multiply_accumulates=sum(known) if len(known) == len(sums) else None,
        weight_bytes=sum(operator.weight_bytes for operator in operators),
        file_share=sum(operator.file_share for operator in operators),
        float_operators=sum(operator.is_float for operator in operators),
    )


def is_float(tensor: Tensor) -> bool:
    """Whether its values are floating-point numbers, of any width."""
    return "float" in tensor.dtype


def values(shape: tuple[int | None, ...] | None) -> int | None:
    """How many values a tensor has; an open first size is one, None where others are open."""
    if shape is None:
        return None
    return product(*(shape[1:] if shape[:1] == (None,) else shape))


def product(*sizes: int | None) -> int | None:
    """The sizes multiplied, None if one is None."""
    known = [size for size in sizes if size is not None]
    return math.prod(known) if len(known) == len(sizes) else None
