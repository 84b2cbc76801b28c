"""What a pixel's byte means to a Keras model's input."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from fmx_export.common.errors import InputRangeError
from fmx_export.source.reference import predict_reference
from fmx_runtime.model_file.external_model import INPUT_RANGES, InputRange
from fmx_runtime.model_file.metadata import InputSpec

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_export.source.reference import ValidationImages

__all__ = [
    "INPUT_RANGES",
    "InputRange",
    "fold_rescaling",
    "infer_input_range",
    "input_spec",
    "stated_range",
]

_LEAVE_VALUES = ("CenterCrop", "InputLayer", "Random", "Resizing", "ZeroPadding2D")
"""Beginnings of names of layers that may stand first and leave the pixels' values as they are."""

_LARGEST_SHRINKING = 0.1
"""Factor up to which a Rescaling must be meant for bytes; 1/255 and 1/127.5 are usual."""

_SMALLEST_BYTE_DEVIATION = 1.0
"""Standard deviation above which a Normalization has seen bytes; fractions vary by less."""

_STANDARD_ERRORS = 2
"""Of a fraction: differences up to so many of them are chance."""


def input_spec(model: Any, pixels: InputRange) -> InputSpec:
    """The input of a checked Keras model.

    Args:
        model: as `keras_model.check_model` gave it.
        pixels: range of the values that it takes.
    """
    height, width, channels = model.input_shape[1:]
    scale, offset = INPUT_RANGES[pixels]
    return InputSpec(
        height=height,
        width=width,
        channels=channels,
        scale=scale,
        offset=offset,
        # keras.utils.image_dataset_from_directory, with which most such models are trained,
        # stretches; and nothing says that they know light things only
        resize="stretch",
        polarity="any",
    )


def stated_range(model: Any) -> InputRange | None:
    """The range that a model states by what it does first; None where it does not tell.

    A model that begins by shrinking its input takes bytes: a Rescaling by a small factor, or a
    Normalization that was adapted to large values, also inside a model that comes first. So does
    one whose input is of an integer type.
    """
    if "int" in str(model.inputs[0].dtype):
        return "0..255"
    return "0..255" if _shrinks(_first(model)) else None


def infer_input_range(model: Any, path: Path, images: ValidationImages) -> dict[InputRange, float]:
    """How often the model is right under each range, the likeliest range first.

    Without large biases a network is right about as often when all its values are 255 times as
    large, only far too sure of itself. So of ranges that are right equally often, as far as that
    many images can tell, the one under which the right classes have the higher probabilities
    comes first.

    Args:
        model: as `keras_model.check_model` gave it.
        path: where it came from, for messages.
        images: those that the export is judged by must not be among them.

    Returns:
        Fractions of the images.

    Raises:
        InputRangeError: the images have no labels.
        ExportError: the model answers NaN or infinity.
    """
    labels = images.labels
    if labels is None:
        raise InputRangeError(
            f"'{path}' does not tell which values its pixels have; add --input-range 0..1, -1..1 or "
            "0..255, what 0 and 255 were turned into for its training, or give labeled images"
        )
    hits: dict[InputRange, float] = {}
    losses: dict[InputRange, float] = {}
    for pixels in INPUT_RANGES:
        answers = predict_reference(model, input_spec(model, pixels), images).probabilities
        of_right_class = answers[np.arange(len(answers)), labels]
        hits[pixels] = float(np.mean(answers.argmax(axis=1) == labels))
        losses[pixels] = -float(np.mean(np.log(np.maximum(of_right_class, 1e-7))))
    best = max(hits.values())
    by_chance = _STANDARD_ERRORS * math.sqrt(best * (1 - best) / len(labels))
    likeliest = sorted(
        INPUT_RANGES,
        key=lambda pixels: (
            (0, losses[pixels]) if hits[pixels] >= best - by_chance else (1, -hits[pixels])
        ),
    )
    return {pixels: hits[pixels] for pixels in likeliest}


def fold_rescaling(model: Any, spec: InputSpec) -> tuple[Any, InputSpec]:
    """Take a Rescaling that comes first out of the network and into what a pixel means.

    Then an int8 file takes an image's bytes as they are, and computes nothing before its first
    real layer. The answers stay the same.

    Args:
        model: as `keras_model.check_model` gave it.
        spec: its input.

    Returns:
        A model that shares the layers of ``model``, and its input; both as they were where no
        Rescaling comes first, where it has a factor for each channel, or where the values it
        gives lie to one side of 0, which int8 cannot represent as bytes.
    """
    layers = [x for x in model.layers if not isinstance(x, keras.layers.InputLayer)]
    first = layers[0]
    if not isinstance(first, keras.layers.Rescaling) or not _is_scalar(first):
        return model, spec
    scale, offset = spec.scale * first.scale, spec.offset * first.scale + first.offset
    if scale <= 0 or not offset <= 0 <= 255 * scale + offset:
        return model, spec
    rest = _without_first(model, first)
    if rest is None:
        return model, spec
    return rest, dataclasses.replace(spec, scale=scale, offset=offset)


def _is_scalar(rescaling: Any) -> bool:
    return np.ndim(rescaling.scale) == np.ndim(rescaling.offset) == 0


def _without_first(model: Any, first: Any) -> Any | None:
    """The model from behind its first layer on; None where others read the image as well."""
    if isinstance(model, keras.Sequential):
        return keras.Sequential([keras.Input(model.input_shape[1:]), *model.layers[1:]])
    try:
        return keras.Model(first.output, model.outputs[0])
    except ValueError:  # Keras: an output "is not connected to `inputs`"
        return None


def _first(model: Any) -> Any | None:
    """The first layer or operation that may change values, inside the model that comes first."""
    for operation in getattr(model, "operations", model.layers):
        if isinstance(operation, keras.Model):
            return _first(operation)
        if not type(operation).__name__.startswith(_LEAVE_VALUES):
            return operation
    return None


def _shrinks(layer: Any) -> bool:
    if isinstance(layer, keras.layers.Rescaling):
        return bool(np.max(np.abs(layer.scale)) <= _LARGEST_SHRINKING)
    if isinstance(layer, keras.layers.Normalization) and layer.variance is not None:
        return bool(np.sqrt(np.min(layer.variance)) > _SMALLEST_BYTE_DEVIATION)
    return False
