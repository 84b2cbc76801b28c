"""Measure the quantization error of each layer of an int8 ONNX model, with onnxruntime's tools."""

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
from fmx_export.onnx.graph_editing import producers, shape_of
from fmx_runtime.errors import ExportError
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

__all__ = ["onnx_layer_errors"]

_FLOAT_PREFIX = "exact/"
"""Begins the names of the float operators in the graph that holds both models."""
_BATCH = 8
"""Images measured together; all tensors of all of them are held in memory."""


def onnx_layer_errors(
    float_model: onnx.ModelProto,
    qdq_model: onnx.ModelProto,
    inputs: Iterable[NDArray[np.float32]],
) -> tuple[LayerError, ...]:
    """Measure the noise that each layer of a QDQ model adds.

    onnxruntime's ``compute_activation_error`` has two measures, and neither is the error of one
    layer. ``qdq_err`` compares a tensor before and after its own rounding: it leaves out the
    rounding of the weights, and counts the values that a fused ReLU cuts off as noise.
    ``xmodel_err`` compares with the float model, so it includes the errors of all layers before.
    Here each float layer is run on the quantized model's own tensors. The difference between its
    output and the quantized layer's is the error of this layer alone.

    Args:
        float_model: the model that ``quantize_static`` was given; all shapes are constant.
        qdq_model: the model that ``quantize_static`` returned, with float input.
        inputs: float32 ``(1, height, width, channels)`` each, some tens of images.

    Returns:
        The layers whose output is quantized, in the order of the graph. Layer names are node
        names of the float model, which ``nodes_to_exclude`` takes.

    Raises:
        ExportError: the two models do not belong together, or there are no images.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="fmx-") as folder:
            powers = _powers(float_model, qdq_model, inputs, Path(folder))
            weights = _weight_errors(float_model, qdq_model, Path(folder))
        return _layers(float_model, qdq_model, powers, weights)
    # onnxruntime and onnx raise RuntimeError, ValueError and library-specific types
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
    """Return signal and noise of each quantized tensor by its name, see `channel_powers`."""
    plain, augmented = folder / "both.onnx", folder / "augmented.onnx"
    onnx.save(_side_by_side(float_model, qdq_model), plain)
    qdq_loss_debug.modify_model_output_intermediate_tensors(plain, augmented)
    shapes = _shapes(float_model)
    powers: dict[str, NDArray[np.float64]] = {}
    for images in _batches(inputs):
        feeds = [{float_model.graph.input[0].name: image} for image in images]
        tensors = qdq_loss_debug.collect_activations(str(augmented), feeds)
        exact = {
            name.removeprefix(_FLOAT_PREFIX): values
            for name, values in tensors.items()
            if name.startswith(_FLOAT_PREFIX)
        }
        for name, match in qdq_loss_debug.create_activation_matching(tensors, exact).items():
            # the image itself is quantized too, but no float layer computes it
            for flat in zip(match.get("float", ()), match["post_qdq"], strict=name in exact):
                both = (_channels_last(values, shapes[name]) for values in flat)
                powers[name] = powers.get(name, 0) + channel_powers(*both)
    if not powers:
        raise ValueError("no images were given, or no layer is quantized")
    return powers


def _side_by_side(float_model: onnx.ModelProto, qdq_model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph of the quantized model and of the float layers that read its tensors."""
    both = onnx.ModelProto()
    both.CopyFrom(qdq_model)
    float_graph = onnx.compose.add_prefix(float_model, _FLOAT_PREFIX).graph
    constants = {constant.name for constant in float_graph.initializer}
    available = producers(qdq_model.graph).keys() | {item.name for item in qdq_model.graph.input}

    def source(name: str) -> str:
        tensor = name.removeprefix(_FLOAT_PREFIX)
        if name in constants:
            return name
        if tensor + DEQUANT_OUTPUT_SUFFIX in available:
            return f"{tensor}{DEQUANT_OUTPUT_SUFFIX}"
        if tensor + QUANT_INPUT_SUFFIX in available or tensor == qdq_model.graph.input[0].name:
            return tensor
        return name

    for node in float_graph.node:
        node.input[:] = [source(name) for name in node.input]
    both.graph.node.extend(float_graph.node)
    both.graph.initializer.extend(float_graph.initializer)
    return both


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    return {value.name: shape_of(value) for value in (*graph.value_info, *graph.output)}


def _channels_last(flat: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Move the channels of ``(1, channels, …)`` last; ``(1, n)`` has n channels."""
    return np.moveaxis(flat.reshape(shape), min(1, len(shape) - 1), -1)


def _batches(
    inputs: Iterable[NDArray[np.float32]],
) -> Iterator[tuple[NDArray[np.float32], ...]]:
    remaining = iter(inputs)
    return iter(lambda: tuple(itertools.islice(remaining, _BATCH)), ())


def _weight_errors(
    float_model: onnx.ModelProto, qdq_model: onnx.ModelProto, folder: Path
) -> dict[str, float]:
    """Return the signal-to-noise ratio, in dB, of weights and biases by their names."""
    paths = (folder / "float.onnx", folder / "qdq.onnx")
    for model, path in zip((float_model, qdq_model), paths, strict=True):
        onnx.save(model, path)
    matching = qdq_loss_debug.create_weight_matching(*map(str, paths))
    # onnxruntime returns constants of one number as NumPy scalars, which it cannot compare itself
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
    producer_of = producers(qdq_model.graph)
    # a ReLU that was fused into the node before it belongs to that node
    layers = {
        name: producer_of.get(name + QUANT_INPUT_SUFFIX) or producer_of[name] for name in in_order
    }
    snr = {name: snr_db(powers[name]) for name in in_order}
    consumers = {
        layers[name].name: [node.name for node in nodes if name in node.input] for name in in_order
    }
    pass_through_ops = {layers[name].name for name in in_order if snr[name] == EXACT_DB}
    weights = {node.name: weight_errors.get(node.input[1]) for node in nodes if node.input[1:]}
    return tuple(
        LayerError(
            layer=layer.name,
            tensor=name,
            operator=layer.op_type,
            snr_db=snr[name],
            weight_snr_db=_clip_to_exact(weights.get(layer.name)),
            exclude=with_consumers(layer.name, consumers, pass_through_ops),
        )
        for name, layer in layers.items()
    )


def _clip_to_exact(decibels: float | None) -> float | None:
    """Limit a ratio to `EXACT_DB`; onnxruntime returns a larger one for equal values."""
    return None if decibels is None else min(decibels, EXACT_DB)
