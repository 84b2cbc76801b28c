"""One order and one numbering for an ONNX graph, whatever order its converter met things in.

tf2onnx goes through sets of objects, and numbers what it makes as it goes: the same model gives
the same operators, but now and then in another order or with other numbers in their names.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

__all__ = ["canonicalize", "drop_unused_operator_sets", "sort_by_need"]

_NUMBER = re.compile(r"__(\d+)(?=(:\d+)?$)")
"""What tf2onnx appends to a name, before the output's index; each number belongs to one name."""


def canonicalize(graph: onnx.GraphProto) -> None:
    """Sort a converter's graph, see `sort_by_need`, and number its names in that order.

    Args:
        graph: changed in place; one with branches or loops inside operators is left as it is.
    """
    if _has_branches(graph):
        return
    sort_by_need(graph)
    numbers: dict[str, int] = {}

    def renumbered(name: str) -> str:
        return _NUMBER.sub(lambda found: f"__{numbers.setdefault(found[1], len(numbers))}", name)

    for node in graph.node:
        node.input[:] = [renumbered(name) for name in node.input]
        node.output[:] = [renumbered(name) for name in node.output]
        node.name = renumbered(node.name)
    for constant in graph.initializer:
        constant.name = renumbered(constant.name)


def sort_by_need(graph: onnx.GraphProto) -> None:
    """Sort operators and constants by how the outputs need them; those that none needs go.

    Names stay, as other files and their metadata know operators by them.

    Args:
        graph: changed in place; one with branches or loops inside operators is left as it is.
    """
    if _has_branches(graph):
        return
    nodes = _in_order_of_need(graph)
    constants = {constant.name: constant for constant in graph.initializer}
    used = [constants[name] for node in nodes for name in node.input if name in constants]
    _replace(graph.node, nodes)
    _replace(graph.initializer, list({constant.name: constant for constant in used}.values()))


def drop_unused_operator_sets(model: onnx.ModelProto) -> None:
    """Forget the operator sets that no operator of the network is from."""
    used = {node.domain for node in model.graph.node}
    kept = [imported for imported in model.opset_import if imported.domain in used]
    _replace(model.opset_import, kept)


def _has_branches(graph: onnx.GraphProto) -> bool:
    return any(attribute.HasField("g") for node in graph.node for attribute in node.attribute)


def _in_order_of_need(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Each node after those it needs, these in the order of its inputs; others are left out."""
    makers = {output: node for node in graph.node for output in node.output}
    ordered: dict[str, onnx.NodeProto] = {}
    stack = [makers[output.name] for output in graph.output if output.name in makers]
    while stack:
        needed = [makers[name] for name in stack[-1].input if name in makers]
        missing = [node for node in needed if node.output[0] not in ordered]
        if missing:
            stack.append(missing[0])
        else:
            node = stack.pop()
            ordered[node.output[0]] = node
    return list(ordered.values())


def _replace(field: Any, items: list[Any]) -> None:
    """Put copies of ``items`` in the place of what a repeated field holds."""
    kept = [type(item).FromString(item.SerializeToString()) for item in items]
    del field[:]
    field.extend(kept)
