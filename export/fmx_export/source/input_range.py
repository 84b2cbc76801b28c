"""Determine the input range of a Keras model: the range of its input values in training."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from fmx_export.common.errors import InputRangeError
from fmx_export.source.reference_predictions import predict_reference
from fmx_runtime.model_file.external_model import INPUT_RANGES, InputRange
from fmx_runtime.model_file.metadata import InputSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fmx_export.source.reference_predictions import ValidationImages

__all__ = [
    "INPUT_RANGES",
    "InputRange",
    "choose_input_range",
    "fold_rescaling",
    "infer_input_range",
    "input_spec",
    "stated_range",
]

_NEUTRAL_LAYERS = ("CenterCrop", "InputLayer", "Random", "Resizing", "ZeroPadding2D")
"""First parts of the names of layers that do not change the range of pixel values."""

_MAX_BYTE_SCALE = 0.1
"""A Rescaling by at most this factor expects bytes; 1/255 and 1/127.5 are usual."""

_MIN_BYTE_DEVIATION = 1.0
"""A Normalization with a larger standard deviation was adapted to bytes; that of values in 0..1 is
below it."""

_CHANCE_STANDARD_ERRORS = 2
"""Accuracies that differ by at most this many standard errors count as equal."""

_MIN_PROBABILITY = 1e-7
"""Probabilities below it count as equal to it in the cross-entropy, whose logarithm needs > 0."""


def input_spec(model: Any, input_range: InputRange) -> InputSpec:
    """Return the input of a checked Keras model.

    Args:
        model: as `keras_model.check_model` returned it.
        input_range: the values that it takes.
    """
    height, width, channels = model.input_shape[1:]
    scale, offset = INPUT_RANGES[input_range]
    return InputSpec(
        height=height,
        width=width,
        channels=channels,
        scale=scale,
        offset=offset,
        # keras.utils.image_dataset_from_directory, with which most such models are trained,
        # stretches images by default; and nothing limits them to light-on-dark images
        resize="stretch",
        polarity="any",
    )


def stated_range(model: Any) -> InputRange | None:
    """Return the input range that a model's first layers show, or None if they do not.

    The range is 0..255 for an integer input, and for a model that begins with a Rescaling by a
    small factor or with a Normalization that was adapted to large values. Models nested at the
    beginning are searched, too.
    """
    if "int" in str(model.inputs[0].dtype):
        return "0..255"
    return "0..255" if _expects_bytes(_first_layer(model)) else None


def choose_input_range(
    model: Any, path: Path, images: ValidationImages, report: Callable[[str], None]
) -> InputRange:
    """Choose the input range: the one that the model states, or else the most likely one.

    Args:
        model: as `keras_model.check_model` returned it.
        path: file of the model, for messages.
        images: labeled images. They must not be among those that the exported files are
            validated on.
        report: called with one line about the choice.

    Raises:
        InputRangeError: the model does not state it, and the images have no labels.
        ExportError: the model returns NaN or infinity.
    """
    if stated := stated_range(model):
        report(f"input range {stated}: the model rescales its input itself")
        return stated
    (best, accuracy), *others = infer_input_range(model, path, images).items()
    rest = ", ".join(f"{other}: {fraction:.1%}" for other, fraction in others)
    report(
        f"input range {best} fits the labels of the calibration images best: {accuracy:.1%} "
        f"correct ({rest}); give --input-range to choose another one"
    )
    return best


def infer_input_range(model: Any, path: Path, images: ValidationImages) -> dict[InputRange, float]:
    """Return the model's accuracy with each input range, the most likely range first.

    A network without large biases is about as accurate when all its inputs are 255 times too
    large; it is only much too confident. So among the ranges whose accuracies do not differ
    significantly, the one with the smallest cross-entropy comes first.

    Args:
        model: as `keras_model.check_model` returned it.
        path: file of the model, for messages.
        images: labeled images. They must not be among those that the exported files are
            validated on.

    Returns:
        Accuracies as fractions.

    Raises:
        InputRangeError: the images have no labels.
        ExportError: the model returns NaN or infinity.
    """
    labels = images.labels
    if labels is None:
        raise InputRangeError(
            f"'{path}' does not state its input range; add --input-range 0..1, -1..1 or 0..255, "
            "the values of the pixels 0 and 255 in its training, or give labeled images"
        )
    accuracies: dict[InputRange, float] = {}
    cross_entropies: dict[InputRange, float] = {}
    for candidate in INPUT_RANGES:
        spec = input_spec(model, candidate)
        probabilities = predict_reference(model, spec, images).probabilities
        true_class = probabilities[np.arange(len(probabilities)), labels]
        accuracies[candidate] = float(np.mean(probabilities.argmax(axis=1) == labels))
        cross_entropies[candidate] = -float(
            np.mean(np.log(np.maximum(true_class, _MIN_PROBABILITY)))
        )
    best = max(accuracies.values())
    chance = _CHANCE_STANDARD_ERRORS * math.sqrt(best * (1 - best) / len(labels))

    def rank(candidate: InputRange) -> tuple[int, float]:
        if accuracies[candidate] >= best - chance:
            return 0, cross_entropies[candidate]
        return 1, -accuracies[candidate]

    return {candidate: accuracies[candidate] for candidate in sorted(INPUT_RANGES, key=rank)}


def fold_rescaling(model: Any, spec: InputSpec) -> tuple[Any, InputSpec]:
    """Remove a Rescaling layer at the model's beginning and fold it into the input spec.

    An int8 file then takes an image's bytes as they are and computes nothing before its first real
    layer. The outputs do not change.

    Args:
        model: as `keras_model.check_model` returned it.
        spec: its input.

    Returns:
        A model that shares the layers of ``model``, and its input. Both are unchanged if the first
        layer is no Rescaling, if it has a factor for each channel, or if its output range does not
        contain 0, which int8 needs.
    """
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
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
    """Return the model without its first layer; None if other layers read the input, too."""
    if isinstance(model, keras.Sequential):
        return keras.Sequential([keras.Input(model.input_shape[1:]), *model.layers[1:]])
    try:
        return keras.Model(first.output, model.outputs[0])
    except ValueError:  # Keras: an output "is not connected to `inputs`"
        return None


def _first_layer(model: Any) -> Any | None:
    """Return the first layer or operation that can change the range, also of a nested model."""
    for operation in getattr(model, "operations", model.layers):
        if isinstance(operation, keras.Model):
            return _first_layer(operation)
        if not type(operation).__name__.startswith(_NEUTRAL_LAYERS):
            return operation
    return None


def _expects_bytes(layer: Any) -> bool:
    if isinstance(layer, keras.layers.Rescaling):
        return bool(np.max(np.abs(layer.scale)) <= _MAX_BYTE_SCALE)
    if isinstance(layer, keras.layers.Normalization) and layer.variance is not None:
        return bool(np.sqrt(np.min(layer.variance)) > _MIN_BYTE_DEVIATION)
    return False
