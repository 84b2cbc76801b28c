"""Networks of keras.applications, to start from instead of from nothing."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmx_runtime.errors import DataError
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FAMILIES", "build", "check"]

_INSIDE = (1.0, 0.0)
_MINUS_ONE_TO_ONE = (1 / 127.5, -1.0)
_STANDARDIZED = (1 / (255 * 0.226), -0.449 / 0.226)
"""Of the three colours' means and standard deviations the middle: metadata has one scale for all."""

FAMILIES: Mapping[str, tuple[float, float]] = {
    "MobileNet": _MINUS_ONE_TO_ONE,
    "MobileNetV2": _MINUS_ONE_TO_ONE,
    "MobileNetV3Small": _INSIDE,
    "MobileNetV3Large": _INSIDE,
    "EfficientNetB0": _INSIDE,
    "EfficientNetV2B0": _INSIDE,
    "DenseNet121": _STANDARDIZED,
    "NASNetMobile": _MINUS_ONE_TO_ONE,
    "ResNet50V2": _MINUS_ONE_TO_ONE,
    "Xception": _MINUS_ONE_TO_ONE,
    "InceptionV3": _MINUS_ONE_TO_ONE,
    "ConvNeXtTiny": _INSIDE,
}
"""Those that are known to export, with the scale and offset that each one's ``preprocess_input``
has; some have it inside the network."""

_SMALLEST = {"NASNetMobile": 32, "Xception": 71, "InceptionV3": 75}
_SMALLEST_OF_OTHERS = 32
_DROPOUT = 0.2


def check(name: str, side: int, weights: str) -> None:
    """Refuse what cannot be built, before any image is read.

    Args:
        name: key of `FAMILIES`.
        side: height and width of the input, pixels.
        weights: see `build`.

    Raises:
        DataError: no such network, images too small for it, or no such file.
    """
    if name not in FAMILIES:
        raise DataError(f"no backbone '{name}'; choose {' or '.join(FAMILIES)}")
    least = _SMALLEST.get(name, _SMALLEST_OF_OTHERS)
    if side < least:
        raise DataError(f"{name} takes images of {least} pixels or more; raise --image-size {side}")
    if weights not in {"imagenet", "none"} and not Path(weights).is_file():
        raise DataError(
            f"'{weights}' (--weights) does not exist; give a .weights.h5 or .h5 file, "
            "'imagenet' or 'none'"
        )


def build(name: str, shape: tuple[int, int, int], classes: int, weights: str) -> Any:
    """The network with an answer of its own in place of ImageNet's.

    Args:
        name: key of `FAMILIES`.
        shape: ``(height, width, 3)`` of the input, float32, scaled as `FAMILIES` says.
        classes: width of the output.
        weights: ``imagenet``, which Keras fetches; ``none``; or a file of the network's weights
            without its top, as Keras publishes and ``save_weights`` writes them.

    Returns:
        Keras model, ``(n, height, width, 3)`` -> probabilities ``(n, classes)``.

    Raises:
        DataError: the weights cannot be fetched, or do not fit.
    """
    import keras
    from keras import layers

    options = {"include_preprocessing": True} if name.startswith("MobileNetV3") else {}
    try:
        with warnings.catch_warnings():
            # Keras goes on with layers that it found no weights for
            warnings.filterwarnings("error", "Skipping")
            body = getattr(keras.applications, name)(
                include_top=False,
                input_shape=shape,
                weights=None if weights == "none" else weights,
                **options,
            )
    # whatever Keras raises about a network that is down, and HDF5 about a file
    except Exception as error:
        if weights == "none":
            raise
        remedy = (
            "name a file of them with --weights, or --weights none"
            if weights == "imagenet"
            else f"give weights of {name} without its top"
        )
        raise DataError(
            f"the weights '{weights}' of {name} cannot be had ({error_summary(error)}); {remedy}"
        ) from error
    x = layers.GlobalAveragePooling2D(name="mean")(body.output)
    x = layers.Dropout(_DROPOUT)(x)
    answer = layers.Dense(classes, activation="softmax", name="answer")(x)
    return keras.Model(body.input, answer, name=name.lower())
