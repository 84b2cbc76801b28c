"""The first convolution of an ONNX network, laid out on blocks of 2x2 pixels.

An image has one channel or three, and onnxruntime's integer convolution gathers its inputs channel
by channel: from a one-channel image it copies byte by byte, which takes several times as long as
the arithmetic. Here the four pixels of a block become channels (space to depth) and the kernel is
spread over the blocks, zeros where it has no weight: the same sums, gathered in larger pieces.

Two kinds of first convolution can be laid out so that nothing behind them changes:

- stride 2: one output for each block;
- stride 1 with 2x2 max pooling behind: four outputs for each block, laid side by side as channels,
  of which the pooling takes the largest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from fmx_export.onnx.normalize import sort_by_need

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["space_to_depth"]

_BLOCK = 2
_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
_ACTIVATIONS = ("Relu", "Clip")  # they commute with taking the largest of four


@dataclass(frozen=True)
class _Stem:
    """The nodes from the image to the first output that is to stay as it is."""

    to_nchw: onnx.NodeProto
    convolution: onnx.NodeProto
    activation: onnx.NodeProto | None = None
    pooling: onnx.NodeProto | None = None

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        """Those that there are, in their order."""
        found = (self.to_nchw, self.convolution, self.activation, self.pooling)
        return [node for node in found if node is not None]

    @property
    def side(self) -> int:
        """How many outputs lie side by side in a block, along each axis."""
        return _BLOCK if self.pooling is not None else 1


@dataclass(frozen=True)
class _Axis:
    """How the kernel lies over the blocks, along the height or the width."""

    blocks: int
    """Size of the kernel."""
    before: int
    """Padding, in blocks."""
    after: int
    outputs: int
    """Blocks of outputs."""
    shift: int
    """Pixels from the first block's edge to the kernel's first weight."""


def space_to_depth(graph: onnx.GraphProto) -> bool:
    """Lay out the first convolution on blocks, if it is of one of the two kinds.

    Args:
        graph: float, as tf2onnx makes it, input ``(1, height, width, channels)``; changed in place.

    Returns:
        Whether it was changed. The answers stay the same, up to the order of summation.
    """
    stem = _find(graph)
    if stem is None:
        return False
    height, width, channels = _shape(graph.input[0])[1:]
    weights = _constant(graph, stem.convolution.input[1])
    attributes = _attributes(stem.convolution)
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    vertical = _axis(height, weights.shape[2], (top, bottom), stem.side)
    horizontal = _axis(width, weights.shape[3], (left, right), stem.side)
    if min(vertical.after, horizontal.after) < 0:
        return False
    build = _Builder(graph)
    build.reshape((1, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK * channels))
    build.transpose((0, 1, 3, 2, 4))
    build.reshape((1, height // _BLOCK, width // _BLOCK, _BLOCK * _BLOCK * channels))
    build.transpose(_TO_NCHW)
    build.node(
        "Conv",
        build.constant("weights", _spread(weights, vertical, horizontal, stem.side)),
        *(
            build.constant("bias", np.tile(_constant(graph, name), stem.side**2))
            for name in stem.convolution.input[2:]
        ),
        kernel_shape=(vertical.blocks, horizontal.blocks),
        pads=(vertical.before, horizontal.before, vertical.after, horizontal.after),
    )
    if stem.activation is not None:
        build.node(stem.activation.op_type, *stem.activation.input[1:])
    if stem.pooling is not None:
        places = _BLOCK * _BLOCK
        build.transpose(_TO_NHWC)
        build.reshape((1, vertical.outputs, horizontal.outputs * places, len(weights)))
        build.transpose(_TO_NCHW)
        build.node("MaxPool", kernel_shape=(1, places), strides=(1, places))
    build.put_in_place_of(stem.nodes)
    return True


def _find(graph: onnx.GraphProto) -> _Stem | None:
    shape = _shape(graph.input[0])
    to_nchw = _only_reader(graph, graph.input[0].name)
    if len(shape) != len(_TO_NCHW) or shape[1] % _BLOCK or shape[2] % _BLOCK or to_nchw is None:
        return None
    constants = {constant.name for constant in graph.initializer}
    convolution = _only_reader(graph, to_nchw.output[0])
    if convolution is None or convolution.op_type != "Conv":
        return None
    if not _moves_channels_first(graph, to_nchw, shape, constants):
        return None
    found = _attributes(convolution)
    plain = found.get("group", 1) == 1 and set(found.get("dilations", (1,))) == {1}
    if not plain or not constants.issuperset(convolution.input[1:]):
        return None
    strides = found.get("strides", (1, 1))
    if strides == (_BLOCK, _BLOCK):
        return _Stem(to_nchw, convolution)
    activation, pooling = None, _only_reader(graph, convolution.output[0])
    if pooling is not None and pooling.op_type in _ACTIVATIONS:
        activation, pooling = pooling, _only_reader(graph, pooling.output[0])
    if strides != (1, 1) or pooling is None or not _takes_largest_of_block(pooling):
        return None
    return _Stem(to_nchw, convolution, activation, pooling)


def _moves_channels_first(
    graph: onnx.GraphProto, node: onnx.NodeProto, shape: tuple[int, ...], constants: set[str]
) -> bool:
    """Whether a node does that and nothing else, as when a network begins by turning images."""
    if node.op_type == "Transpose":
        return _attributes(node).get("perm") == _TO_NCHW
    # of a one-channel image tf2onnx makes the transposition a reshape
    height, width, channels = shape[1:]
    return (
        node.op_type == "Reshape"
        and channels == 1
        and node.input[1] in constants
        and _constant(graph, node.input[1]).tolist() == [1, channels, height, width]
    )


def _takes_largest_of_block(node: onnx.NodeProto) -> bool:
    found = _attributes(node)
    return (
        node.op_type == "MaxPool"
        and found["kernel_shape"] == found.get("strides") == (_BLOCK, _BLOCK)
        and not any(found.get("pads", ()))
        and not found.get("ceil_mode", 0)
    )


def _axis(size: int, kernel: int, pads: tuple[int, int], side: int) -> _Axis:
    """The kernel over blocks; a negative ``after`` where the outputs do not fill blocks evenly."""
    outputs = ((size + sum(pads) - kernel) * side // _BLOCK + 1) // side
    before = -(-pads[0] // _BLOCK)
    blocks = (side - 1 + kernel - 1 - pads[0]) // _BLOCK + before + 1
    after = outputs - size // _BLOCK - before + blocks - 1
    return _Axis(blocks, before, after, outputs, shift=before * _BLOCK - pads[0])


def _spread(
    weights: NDArray[np.float32], vertical: _Axis, horizontal: _Axis, side: int
) -> NDArray[np.float32]:
    """The kernel over blocks.

    Args:
        weights: float32 ``(outputs, channels, height, width)``.
        vertical: where they lie along the height.
        horizontal: along the width.
        side: outputs side by side in a block.

    Returns:
        float32 ``(side * side * outputs, 4 * channels, blocks, blocks)``; of outputs and of
        channels, those of one place in the block come together.
    """
    outputs, channels = weights.shape[:2]
    spread = np.zeros(
        (side, side, outputs, _BLOCK, _BLOCK, channels, vertical.blocks, horizontal.blocks),
        np.float32,
    )
    for down, right in np.ndindex(side, side):
        for y, x in np.ndindex(*weights.shape[2:]):
            row, above = divmod(y + down + vertical.shift, _BLOCK)
            column, before = divmod(x + right + horizontal.shift, _BLOCK)
            spread[down, right, :, above, before, :, row, column] = weights[:, :, y, x]
    return spread.reshape(side * side * outputs, -1, vertical.blocks, horizontal.blocks)


class _Builder:
    """A chain of nodes that begins at the graph's input, each reading the one before."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._nodes: list[onnx.NodeProto] = []
        self._last = graph.input[0].name

    def node(self, op_type: str, *constants: str, **attributes: Any) -> None:
        name = f"stem/{len(self._nodes)}_{op_type}"
        inputs = [self._last, *constants]
        self._nodes.append(helper.make_node(op_type, inputs, [name], name=name, **attributes))
        self._last = name

    def reshape(self, shape: Sequence[int]) -> None:
        name = self.constant(f"shape_{len(self._nodes)}", np.array(shape, np.int64))
        self.node("Reshape", name)

    def transpose(self, order: Sequence[int]) -> None:
        self.node("Transpose", perm=order)

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self._graph.initializer.append(numpy_helper.from_array(value, f"stem/{name}"))
        return f"stem/{name}"

    def put_in_place_of(self, old: Sequence[onnx.NodeProto]) -> None:
        """Let the last node answer in the place of the last of ``old``."""
        self._nodes[-1].output[0] = old[-1].output[0]
        new = [*self._nodes, *(node for node in self._graph.node if node not in old)]
        del self._graph.node[:]
        self._graph.node.extend(new)
        del self._graph.value_info[:]
        sort_by_need(self._graph)  # and so without the constants that nothing reads any more


def _only_reader(graph: onnx.GraphProto, tensor: str) -> onnx.NodeProto | None:
    readers = [node for node in graph.node if tensor in node.input]
    is_answer = any(output.name == tensor for output in graph.output)
    return readers[0] if len(readers) == 1 and not is_answer else None


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """The node's attributes, lists as tuples."""
    values = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    return {key: tuple(x) if isinstance(x, list) else x for key, x in values.items()}


def _constant(graph: onnx.GraphProto, name: str) -> NDArray[Any]:
    found = next(constant for constant in graph.initializer if constant.name == name)
    return np.asarray(numpy_helper.to_array(found))


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
