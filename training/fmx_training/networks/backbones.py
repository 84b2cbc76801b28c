"""Networks of keras.applications for transfer learning."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmx_runtime.errors import DataError
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BACKBONES", "build", "check"]

# Scale and offset of the input: the network gets ``pixel * scale + offset``.
_RAW_PIXELS = (1.0, 0.0)
"""For networks that rescale the input themselves."""
_MINUS_ONE_TO_ONE = (1 / 127.5, -1.0)
_STANDARDIZED = (1 / (255 * 0.226), -0.449 / 0.226)
"""For mean and standard deviation; of the three channels the averages, because the model metadata
has one scale and offset for all channels."""

BACKBONES: Mapping[str, tuple[float, float]] = {
    "MobileNet": _MINUS_ONE_TO_ONE,
    "MobileNetV2": _MINUS_ONE_TO_ONE,
    "MobileNetV3Small": _RAW_PIXELS,
    "MobileNetV3Large": _RAW_PIXELS,
    "EfficientNetB0": _RAW_PIXELS,
    "EfficientNetV2B0": _RAW_PIXELS,
    "DenseNet121": _STANDARDIZED,
    "NASNetMobile": _MINUS_ONE_TO_ONE,
    "ResNet50V2": _MINUS_ONE_TO_ONE,
    "Xception": _MINUS_ONE_TO_ONE,
    "InceptionV3": _MINUS_ONE_TO_ONE,
    "ConvNeXtTiny": _RAW_PIXELS,
}
"""Networks that are known to export, with scale and offset as in their ``preprocess_input``."""

_MIN_IMAGE_SIZE = 32
_MIN_IMAGE_SIZE_OF = {"Xception": 71, "InceptionV3": 75}
_DROPOUT = 0.2
_POOLING_NAME, _HEAD_NAME = "mean", "answer"
"""As in `fmx_training.networks.architectures`."""


def check(name: str, image_size: int, weights: str) -> None:
    """Check that a backbone can be built, before any image is read.

    Args:
        name: key of `BACKBONES`.
        image_size: height and width of the input in pixels.
        weights: see `build`.

    Raises:
        DataError: the network is unknown, the image size is too small for it, or the file of
            weights does not exist.
    """
    if name not in BACKBONES:
        raise DataError(f"no backbone '{name}'; choose {' or '.join(BACKBONES)}")
    smallest = _MIN_IMAGE_SIZE_OF.get(name, _MIN_IMAGE_SIZE)
    if image_size < smallest:
        raise DataError(
            f"{name} takes images of {smallest} pixels or more; raise --image-size {image_size}"
        )
    if weights not in {"imagenet", "none"} and not Path(weights).is_file():
        raise DataError(
            f"'{weights}' (--weights) does not exist; give a .weights.h5 or .h5 file, "
            "'imagenet' or 'none'"
        )


def build(name: str, shape: tuple[int, int, int], classes: int, weights: str) -> Any:
    """Build a backbone with a new classification head in place of ImageNet's.

    Args:
        name: key of `BACKBONES`.
        shape: ``(height, width, 3)`` of the input, float32, scaled as in `BACKBONES`.
        classes: number of classes.
        weights: initial weights: ``imagenet``, which Keras downloads; ``none`` for random ones; or
            a file with the weights of the network without its top, as Keras publishes them and
            ``save_weights`` writes them.

    Returns:
        Keras model, ``(n, height, width, 3)`` -> probabilities ``(n, classes)``.

    Raises:
        DataError: the weights cannot be downloaded, or are not for this network.
    """
    import keras
    from keras import layers

    options = {"include_preprocessing": True} if name.startswith("MobileNetV3") else {}
    try:
        with warnings.catch_warnings():
            # Keras only warns about layers for which the file has no weights
            warnings.filterwarnings("error", "Skipping")
            body = getattr(keras.applications, name)(
                include_top=False,
                input_shape=shape,
                weights=None if weights == "none" else weights,
                **options,
            )
    # Keras raises various errors without a network connection, and h5py with a damaged file
    except Exception as error:
        if weights == "none":
            raise
        remedy = (
            "give a file with --weights, or --weights none"
            if weights == "imagenet"
            else f"give weights of {name} without its top"
        )
        raise DataError(
            f"cannot load the weights '{weights}' of {name} ({error_summary(error)}); {remedy}"
        ) from error
    x = layers.GlobalAveragePooling2D(name=_POOLING_NAME)(body.output)
    x = layers.Dropout(_DROPOUT)(x)
    scores = layers.Dense(classes, activation="softmax", name=_HEAD_NAME)(x)
    return keras.Model(body.input, scores, name=name.lower())
