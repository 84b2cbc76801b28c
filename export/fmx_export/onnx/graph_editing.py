"""Read and change the nodes of an ONNX graph: what the graph transformations share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from fmx_export.onnx.normalize import sort_topologically

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "NodeChain",
    "attributes_of",
    "constant_value",
    "consumers",
    "only_consumer",
    "producers",
    "rename_inputs",
    "shape_of",
]


def consumers(graph: onnx.GraphProto, tensor: str) -> list[onnx.NodeProto]:
    """Return the nodes that read a tensor."""
    return [node for node in graph.node if tensor in node.input]


def only_consumer(graph: onnx.GraphProto, tensor: str) -> onnx.NodeProto | None:
    """Return the one node that reads a tensor.

    Returns:
        None where several nodes or none read it, or where it is an output of the graph too.
    """
    nodes = consumers(graph, tensor)
    is_output = any(output.name == tensor for output in graph.output)
    return nodes[0] if len(nodes) == 1 and not is_output else None


def producers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """Return the node that computes each tensor, by the tensor's name."""
    return {output: node for node in graph.node for output in node.output}


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's attributes by name, lists as tuples."""
    values = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    return {key: tuple(x) if isinstance(x, list) else x for key, x in values.items()}


def constant_value(graph: onnx.GraphProto, name: str) -> NDArray[Any]:
    """Return the value of an initializer.

    Raises:
        StopIteration: the graph has no initializer of this name.
    """
    initializer = next(constant for constant in graph.initializer if constant.name == name)
    return np.asarray(numpy_helper.to_array(initializer))


def shape_of(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """Return the shape of an input or output; 0 for a size that the file leaves open."""
    return tuple(size.dim_value for size in value.type.tensor_type.shape.dim)


def rename_inputs(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Let all nodes that read the tensor ``old`` read ``new`` instead."""
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new


class NodeChain:
    """A chain of new nodes that begins at the graph's input; each reads the one before."""

    def __init__(self, graph: onnx.GraphProto, prefix: str) -> None:
        """Begin an empty chain.

        Args:
            graph: constants are added to it at once, the nodes by `replace`.
            prefix: begins the names of the new nodes and constants.
        """
        self._graph = graph
        self._prefix = prefix
        self._nodes: list[onnx.NodeProto] = []
        self._last = graph.input[0].name

    def add(self, op_type: str, *constants: str, **attributes: Any) -> None:
        """Append a node; ``constants`` are the names of its further inputs."""
        name = f"{self._prefix}/{len(self._nodes)}_{op_type}"
        inputs = [self._last, *constants]
        self._nodes.append(helper.make_node(op_type, inputs, [name], name=name, **attributes))
        self._last = name

    def add_reshape(self, shape: Sequence[int]) -> None:
        """Append a Reshape to a constant shape."""
        name = self.add_constant(f"shape_{len(self._nodes)}", np.array(shape, np.int64))
        self.add("Reshape", name)

    def add_transpose(self, order: Sequence[int]) -> None:
        """Append a Transpose."""
        self.add("Transpose", perm=order)

    def add_constant(self, name: str, value: NDArray[Any]) -> str:
        """Add an initializer to the graph, and return its full name."""
        full_name = f"{self._prefix}/{name}"
        self._graph.initializer.append(numpy_helper.from_array(value, full_name))
        return full_name

    def replace(self, old: Sequence[onnx.NodeProto]) -> None:
        """Replace the nodes ``old`` by the chain, which takes over the name of their last output.

        Constants that only the old nodes read are dropped.
        """
        self._nodes[-1].output[0] = old[-1].output[0]
        new = [*self._nodes, *(node for node in self._graph.node if node not in old)]
        del self._graph.node[:]
        self._graph.node.extend(new)
        del self._graph.value_info[:]
        sort_topologically(self._graph)
