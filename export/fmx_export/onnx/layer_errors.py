"""What each layer of an int8 ONNX model loses, measured with onnxruntime's own debugging tools."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnxruntime.quantization import qdq_loss_debug
from onnxruntime.quantization.quant_utils import DEQUANT_OUTPUT_SUFFIX, QUANT_INPUT_SUFFIX

from fmx_export.common.layer_errors import (
    EXACT_DB,
    LayerError,
    channel_powers,
    snr_db,
    with_consumers,
)
from fmx_runtime.errors import ExportError
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

__all__ = ["onnx_layer_errors"]

_EXACT = "exact/"
"""Before every name of the float operators, where they stand beside the quantized ones."""
_AT_ONCE = 8  # images, as all tensors of all of them are held in memory


def onnx_layer_errors(
    float_model: onnx.ModelProto,
    qdq_model: onnx.ModelProto,
    inputs: Iterable[NDArray[np.float32]],
) -> tuple[LayerError, ...]:
    """Measure the noise that each layer of a QDQ model adds.

    onnxruntime's ``compute_activation_error`` knows two measures, and neither tells what a layer
    does. Its ``qdq_err`` compares a tensor before and after its own rounding: the weights' is not
    in it, and where a ReLU was dropped, as an unsigned tensor cuts off what is negative, all of
    that passes for noise. Its ``xmodel_err`` compares with the float model, and so sums up what
    all layers before did. Here the float model that it matches with is fed, layer by layer, with
    the quantized model's own tensors, which leaves exactly the layer's share.

    Args:
        float_model: the one that ``quantize_static`` was given, with all shapes constant.
        qdq_model: what ``quantize_static`` made of it, taking float images.
        inputs: float32 ``(1, height, width, channels)`` each, some tens of images.

    Returns:
        The layers whose output is quantized, in the order of the graph. Their names are nodes'
        names of the float model, as ``nodes_to_exclude`` wants them.

    Raises:
        ExportError: the models do not belong together, or there are no images.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="fmx-") as folder:
            powers = _powers(float_model, qdq_model, inputs, Path(folder))
            weights = _weight_errors(float_model, qdq_model, Path(folder))
        return _layers(float_model, qdq_model, powers, weights)
    # onnxruntime and onnx raise RuntimeError, ValueError, and types of their own
    except Exception as error:
        raise ExportError(
            f"cannot compare the layers of the int8 ONNX model with float: {error_summary(error)}"
        ) from error


def _powers(
    float_model: onnx.ModelProto,
    qdq_model: onnx.ModelProto,
    inputs: Iterable[NDArray[np.float32]],
    folder: Path,
) -> dict[str, NDArray[np.float64]]:
    """Signal and noise of each quantized tensor, see `channel_powers`."""
    plain, augmented = folder / "both.onnx", folder / "augmented.onnx"
    onnx.save(_side_by_side(float_model, qdq_model), plain)
    qdq_loss_debug.modify_model_output_intermediate_tensors(plain, augmented)
    shapes = _shapes(float_model)
    powers: dict[str, NDArray[np.float64]] = {}
    for images in _in_groups(inputs):
        feeds = [{float_model.graph.input[0].name: image} for image in images]
        tensors = qdq_loss_debug.collect_activations(str(augmented), feeds)
        exact = {n.removeprefix(_EXACT): v for n, v in tensors.items() if n.startswith(_EXACT)}
        for name, match in qdq_loss_debug.create_activation_matching(tensors, exact).items():
            # the image itself, where it is quantized at once, is no layer's work
            for flat in zip(match.get("float", ()), match["post_qdq"], strict=name in exact):
                both = (_channels_last(values, shapes[name]) for values in flat)
                powers[name] = powers.get(name, 0) + channel_powers(*both)
    if not powers:
        raise ValueError("no images, or nothing is quantized")
    return powers


def _side_by_side(float_model: onnx.ModelProto, qdq_model: onnx.ModelProto) -> onnx.ModelProto:
    """The quantized graph, and beside it each float operator, fed with the quantized tensors."""
    both = onnx.ModelProto()
    both.CopyFrom(qdq_model)
    beside = onnx.compose.add_prefix(float_model, _EXACT).graph
    constants = {constant.name for constant in beside.initializer}
    made = _makers(qdq_model).keys() | {entry.name for entry in qdq_model.graph.input}

    def source(name: str) -> str:
        tensor = name.removeprefix(_EXACT)
        if name in constants:
            return name
        if tensor + DEQUANT_OUTPUT_SUFFIX in made:
            return f"{tensor}{DEQUANT_OUTPUT_SUFFIX}"
        if tensor + QUANT_INPUT_SUFFIX in made or tensor == qdq_model.graph.input[0].name:
            return tensor
        return name

    for node in beside.node:
        node.input[:] = [source(name) for name in node.input]
    both.graph.node.extend(beside.node)
    both.graph.initializer.extend(beside.initializer)
    return both


def _makers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {output: node for node in model.graph.node for output in node.output}


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    return {
        entry.name: tuple(size.dim_value for size in entry.type.tensor_type.shape.dim)
        for entry in (*graph.value_info, *graph.output)
    }


def _channels_last(flat: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """``(1, channels, …)`` as ``(1, …, channels)``; what has no channels as one of each value."""
    return np.moveaxis(flat.reshape(shape), min(1, len(shape) - 1), -1)


def _in_groups(
    inputs: Iterable[NDArray[np.float32]],
) -> Iterator[tuple[NDArray[np.float32], ...]]:
    remaining = iter(inputs)
    return iter(lambda: tuple(itertools.islice(remaining, _AT_ONCE)), ())


def _weight_errors(
    float_model: onnx.ModelProto, qdq_model: onnx.ModelProto, folder: Path
) -> dict[str, float]:
    """Signal over noise, in dB, of weights and biases by their names."""
    paths = (folder / "float.onnx", folder / "qdq.onnx")
    for model, path in zip((float_model, qdq_model), paths, strict=True):
        onnx.save(model, path)
    matching = qdq_loss_debug.create_weight_matching(*map(str, paths))
    # a constant of one number comes as NumPy's scalar, which cannot be compared
    arrays = {
        name: {side: np.atleast_1d(values) for side, values in pair.items()}
        for name, pair in matching.items()
    }
    errors: dict[str, float] = qdq_loss_debug.compute_weight_error(arrays)
    return errors


def _layers(
    float_model: onnx.ModelProto,
    qdq_model: onnx.ModelProto,
    powers: Mapping[str, NDArray[np.float64]],
    weight_errors: Mapping[str, float],
) -> tuple[LayerError, ...]:
    nodes = float_model.graph.node
    in_order = [output for node in nodes for output in node.output if output in powers]
    makers = _makers(qdq_model)
    # a ReLU that the quantized graph does without is the work of the node before it
    layers = {name: makers.get(name + QUANT_INPUT_SUFFIX) or makers[name] for name in in_order}
    noise = {name: snr_db(powers[name]) for name in in_order}
    readers = {
        layers[name].name: [node.name for node in nodes if name in node.input] for name in in_order
    }
    pass_through_ops = {layers[name].name for name in in_order if noise[name] == EXACT_DB}
    weights = {node.name: weight_errors.get(node.input[1]) for node in nodes if node.input[1:]}
    return tuple(
        LayerError(
            layer=layer.name,
            tensor=name,
            operator=layer.op_type,
            snr_db=noise[name],
            weight_snr_db=_at_most_exact(weights.get(layer.name)),
            keep_in_float=with_consumers(layer.name, readers, pass_through_ops),
        )
        for name, layer in layers.items()
    )


def _at_most_exact(decibels: float | None) -> float | None:
    return None if decibels is None else min(decibels, EXACT_DB)
