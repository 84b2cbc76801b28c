"""Space-to-depth for the first convolution of an ONNX model.

An image has one or three channels, and onnxruntime's integer convolution gathers its input channel
by channel. For a one-channel image that is byte by byte, which takes several times as long as the
arithmetic. Space-to-depth moves each block of 2x2 pixels into the channels, so ``(height, width,
c)`` becomes ``(height / 2, width / 2, 4c)``. The kernel is rearranged to match, with zeros where
the original kernel has no weight. The sums are the same, but the input is gathered in larger
pieces.

TensorFlow does the same to the stride-2 convolutions of image models on TPUs: "Automatic Space to
Depth Transform in MLIR Bridge", tensorflow/compiler/mlir/tensorflow/g3doc/space_to_depth.md. Here
a second case is covered, in which the convolution has stride 1:

- stride 2: each block of pixels gives one output;
- stride 1, followed by 2x2 max pooling: each block of pixels gives four outputs, computed as
  channels side by side; the pooling takes the largest of the four.

The operators behind are not changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fmx_export.onnx.graph_editing import (
    NodeChain,
    attributes_of,
    constant_value,
    only_consumer,
    shape_of,
)

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

__all__ = ["space_to_depth"]

_BLOCK = 2
"""Height and width of a block of pixels."""
_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
_MONOTONIC_ACTIVATIONS = ("Relu", "Clip")
"""Activations that may change places with max pooling."""
_PREFIX = "stem"
"""Begins the names of the added nodes; a part of the file's bytes, so it is fixed."""


@dataclass(frozen=True)
class _Stem:
    """The nodes that are replaced: from the image to the convolution or the max pooling."""

    to_nchw: onnx.NodeProto
    convolution: onnx.NodeProto
    activation: onnx.NodeProto | None = None
    pooling: onnx.NodeProto | None = None

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        """The nodes in the order of the graph."""
        candidates = (self.to_nchw, self.convolution, self.activation, self.pooling)
        return [node for node in candidates if node is not None]

    @property
    def outputs_per_axis(self) -> int:
        """How many outputs of the original convolution a block has, along each axis: 1 or 2."""
        return _BLOCK if self.pooling is not None else 1


@dataclass(frozen=True)
class _Axis:
    """The geometry of the new convolution along one axis, the height or the width."""

    kernel: int
    """Size of the kernel, in blocks."""
    pad_before: int
    """Padding before the image, in blocks."""
    pad_after: int
    """Padding behind the image, in blocks."""
    outputs: int
    """Size of the output, in blocks."""
    offset: int
    """Pixels from the edge of the kernel's first block to the original kernel's first weight."""


def space_to_depth(graph: onnx.GraphProto) -> bool:
    """Apply space-to-depth to the first convolution, where it is of one of the two kinds.

    Args:
        graph: a float graph with the input ``(1, height, width, channels)``, as tf2onnx makes
            it; changed in place.

    Returns:
        Whether the graph was changed. Its output stays the same up to the order of summation.
    """
    stem = _find_stem(graph)
    if stem is None:
        return False
    height, width, channels = shape_of(graph.input[0])[1:]
    weights = constant_value(graph, stem.convolution.input[1])
    top, left, bottom, right = attributes_of(stem.convolution).get("pads", (0, 0, 0, 0))
    vertical = _axis(height, weights.shape[2], (top, bottom), stem.outputs_per_axis)
    horizontal = _axis(width, weights.shape[3], (left, right), stem.outputs_per_axis)
    if min(vertical.pad_after, horizontal.pad_after) < 0:
        return False  # the outputs do not fill whole blocks
    chain = NodeChain(graph, _PREFIX)
    _add_space_to_depth(chain, height, width, channels)
    _add_convolution(chain, graph, stem, vertical, horizontal)
    if stem.activation is not None:
        chain.add(stem.activation.op_type, *stem.activation.input[1:])
    if stem.pooling is not None:
        _add_pooling(chain, vertical, horizontal, len(weights))
    chain.replace(stem.nodes)
    return True


def _add_space_to_depth(chain: NodeChain, height: int, width: int, channels: int) -> None:
    """Add ``(1, h, w, c)`` -> ``(1, 4c, h / 2, w / 2)``, as reshapes and transpositions."""
    rows, columns = height // _BLOCK, width // _BLOCK
    chain.add_reshape((1, rows, _BLOCK, columns, _BLOCK * channels))
    chain.add_transpose((0, 1, 3, 2, 4))
    chain.add_reshape((1, rows, columns, _BLOCK * _BLOCK * channels))
    chain.add_transpose(_TO_NCHW)


def _add_convolution(
    chain: NodeChain, graph: onnx.GraphProto, stem: _Stem, vertical: _Axis, horizontal: _Axis
) -> None:
    """Add the convolution with the rearranged kernel."""
    weights = constant_value(graph, stem.convolution.input[1])
    side = stem.outputs_per_axis
    rearranged = _rearranged_kernel(weights, vertical, horizontal, side)
    chain.add(
        "Conv",
        chain.add_constant("weights", rearranged),
        *(
            chain.add_constant("bias", np.tile(constant_value(graph, name), side**2))
            for name in stem.convolution.input[2:]
        ),
        kernel_shape=(vertical.kernel, horizontal.kernel),
        pads=(
            vertical.pad_before,
            horizontal.pad_before,
            vertical.pad_after,
            horizontal.pad_after,
        ),
    )


def _add_pooling(chain: NodeChain, vertical: _Axis, horizontal: _Axis, out_channels: int) -> None:
    """Add the max pooling over the four outputs of each block, which lie side by side."""
    outputs = _BLOCK * _BLOCK
    chain.add_transpose(_TO_NHWC)
    chain.add_reshape((1, vertical.outputs, horizontal.outputs * outputs, out_channels))
    chain.add_transpose(_TO_NCHW)
    chain.add("MaxPool", kernel_shape=(1, outputs), strides=(1, outputs))


def _find_stem(graph: onnx.GraphProto) -> _Stem | None:
    """Return the nodes to replace, None where the first convolution is of another kind."""
    shape = shape_of(graph.input[0])
    to_nchw = only_consumer(graph, graph.input[0].name)
    if len(shape) != len(_TO_NCHW) or shape[1] % _BLOCK or shape[2] % _BLOCK or to_nchw is None:
        return None
    constants = {constant.name for constant in graph.initializer}
    convolution = only_consumer(graph, to_nchw.output[0])
    if convolution is None or convolution.op_type != "Conv":
        return None
    if not _is_to_nchw(graph, to_nchw, shape, constants):
        return None
    attributes = attributes_of(convolution)
    plain = attributes.get("group", 1) == 1 and set(attributes.get("dilations", (1,))) == {1}
    if not plain or not constants.issuperset(convolution.input[1:]):
        return None
    strides = attributes.get("strides", (1, 1))
    if strides == (_BLOCK, _BLOCK):
        return _Stem(to_nchw, convolution)
    activation, pooling = None, only_consumer(graph, convolution.output[0])
    if pooling is not None and pooling.op_type in _MONOTONIC_ACTIVATIONS:
        activation, pooling = pooling, only_consumer(graph, pooling.output[0])
    if strides != (1, 1) or pooling is None or not _is_block_max_pooling(pooling):
        return None
    return _Stem(to_nchw, convolution, activation, pooling)


def _is_to_nchw(
    graph: onnx.GraphProto, node: onnx.NodeProto, shape: tuple[int, ...], constants: set[str]
) -> bool:
    """Whether a node moves the channels first and does nothing else.

    A network may begin with another transposition, for example one that rotates images.
    """
    if node.op_type == "Transpose":
        return attributes_of(node).get("perm") == _TO_NCHW
    # for a one-channel image tf2onnx writes the transposition as a reshape
    height, width, channels = shape[1:]
    return (
        node.op_type == "Reshape"
        and channels == 1
        and node.input[1] in constants
        and constant_value(graph, node.input[1]).tolist() == [1, channels, height, width]
    )


def _is_block_max_pooling(node: onnx.NodeProto) -> bool:
    """Whether a node is 2x2 max pooling with stride 2 and without padding."""
    attributes = attributes_of(node)
    return (
        node.op_type == "MaxPool"
        and attributes["kernel_shape"] == attributes.get("strides") == (_BLOCK, _BLOCK)
        and not any(attributes.get("pads", ()))
        and not attributes.get("ceil_mode", 0)
    )


def _axis(size: int, kernel: int, pads: tuple[int, int], outputs_per_axis: int) -> _Axis:
    """Return the geometry along one axis.

    Args:
        size: of the image, in pixels.
        kernel: size of the original kernel.
        pads: padding of the original convolution, before and behind the image, in pixels.
        outputs_per_axis: see `_Stem`.

    Returns:
        ``pad_after`` is negative where the outputs do not fill whole blocks.
    """
    outputs = ((size + sum(pads) - kernel) * outputs_per_axis // _BLOCK + 1) // outputs_per_axis
    pad_before = -(-pads[0] // _BLOCK)
    blocks = (outputs_per_axis - 1 + kernel - 1 - pads[0]) // _BLOCK + pad_before + 1
    pad_after = outputs - size // _BLOCK - pad_before + blocks - 1
    return _Axis(blocks, pad_before, pad_after, outputs, offset=pad_before * _BLOCK - pads[0])


def _rearranged_kernel(
    weights: NDArray[np.float32], vertical: _Axis, horizontal: _Axis, outputs_per_axis: int
) -> NDArray[np.float32]:
    """Return the kernel of the new convolution, zero where the original has no weight.

    Args:
        weights: float32 ``(outputs, channels, height, width)``.
        vertical: geometry along the height.
        horizontal: geometry along the width.
        outputs_per_axis: see `_Stem`; the output channels are repeated for each output of a block.

    Returns:
        float32 ``(outputs_per_axis ** 2 * outputs, 4 * channels, blocks, blocks)``. The channels
        of one position in the block come together, among the outputs and among the inputs.
    """
    outputs, channels = weights.shape[:2]
    rearranged = np.zeros(
        (
            *(outputs_per_axis, outputs_per_axis, outputs),
            *(_BLOCK, _BLOCK, channels),
            *(vertical.kernel, horizontal.kernel),
        ),
        np.float32,
    )
    for down, right in np.ndindex(outputs_per_axis, outputs_per_axis):
        for y, x in np.ndindex(*weights.shape[2:]):
            row, y_in_block = divmod(y + down + vertical.offset, _BLOCK)
            column, x_in_block = divmod(x + right + horizontal.offset, _BLOCK)
            rearranged[down, right, :, y_in_block, x_in_block, :, row, column] = weights[:, :, y, x]
    return rearranged.reshape(outputs_per_axis**2 * outputs, -1, vertical.kernel, horizontal.kernel)
