"""Bring an ONNX graph into one order with one numbering, so equal models give equal bytes.

tf2onnx iterates over sets of objects and numbers the names it makes. For the same Keras model it
returns the same operators, but sometimes in another order or with other numbers in their names.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

__all__ = ["drop_unused_opsets", "normalize_graph", "sort_topologically"]

_NUMBER = re.compile(r"__(\d+)(?=(:\d+)?$)")
"""The number that tf2onnx appends to a name, before the output's index; no two names share one."""


def normalize_graph(graph: onnx.GraphProto) -> None:
    """Sort a converter's graph with `sort_topologically`, and renumber its names in that order.

    Args:
        graph: changed in place; a graph with control flow (If, Loop) is not changed.
    """
    if _has_subgraphs(graph):
        return
    sort_topologically(graph)
    numbers: dict[str, int] = {}

    def renumber(name: str) -> str:
        return _NUMBER.sub(lambda match: f"__{numbers.setdefault(match[1], len(numbers))}", name)

    for node in graph.node:
        node.input[:] = [renumber(name) for name in node.input]
        node.output[:] = [renumber(name) for name in node.output]
        node.name = renumber(node.name)
    for constant in graph.initializer:
        constant.name = renumber(constant.name)


def sort_topologically(graph: onnx.GraphProto) -> None:
    """Sort nodes and initializers in the order the outputs need them, and drop unused ones.

    Names are not changed, because files and their metadata refer to operators by name.

    Args:
        graph: changed in place; a graph with control flow (If, Loop) is not changed.
    """
    if _has_subgraphs(graph):
        return
    nodes = _topological_order(graph)
    constants = {constant.name: constant for constant in graph.initializer}
    used = [constants[name] for node in nodes for name in node.input if name in constants]
    _replace(graph.node, nodes)
    _replace(graph.initializer, list({constant.name: constant for constant in used}.values()))


def drop_unused_opsets(model: onnx.ModelProto) -> None:
    """Remove the imports of operator sets from which the model uses no operator."""
    used = {node.domain for node in model.graph.node}
    _replace(model.opset_import, [opset for opset in model.opset_import if opset.domain in used])


def _has_subgraphs(graph: onnx.GraphProto) -> bool:
    return any(attribute.HasField("g") for node in graph.node for attribute in node.attribute)


def _topological_order(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes the outputs need, each after its own inputs' nodes in input order."""
    producers = {output: node for node in graph.node for output in node.output}
    ordered: dict[str, onnx.NodeProto] = {}
    stack = [producers[output.name] for output in graph.output if output.name in producers]
    while stack:
        needed = [producers[name] for name in stack[-1].input if name in producers]
        missing = [node for node in needed if node.output[0] not in ordered]
        if missing:
            stack.append(missing[0])
        else:
            node = stack.pop()
            ordered[node.output[0]] = node
    return list(ordered.values())


def _replace(field: Any, items: list[Any]) -> None:
    """Replace the content of a repeated field by copies of ``items``."""
    copies = [type(item).FromString(item.SerializeToString()) for item in items]
    del field[:]
    field.extend(copies)
