"""Network architectures that recipes train."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import keras
from keras import layers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["NETWORKS", "baseline", "plain", "residual"]

_BATCH_NORM_MOMENTUM = 0.95
"""Lower than Keras' 0.99: the moving averages follow within about 60 steps, so they fit the weights
at the end of a short schedule."""

_POOLING_NAME, _HEAD_NAME = "mean", "answer"
"""Layer names; they are part of the exported files, so new names would change those files."""


def baseline(shape: tuple[int, int, int], classes: int) -> Any:
    """Build two blocks of convolution, ReLU and max pooling, and two dense layers.

    The textbook network for small images. Dropout keeps its 225,000 parameters (for 28x28 gray
    images and ten classes) from overfitting.

    Args:
        shape: ``(height, width, channels)`` of the input, float32.
        classes: number of classes.

    Returns:
        Keras model, ``(n, height, width, channels)`` -> probabilities ``(n, classes)``.
    """
    return keras.Sequential(
        [
            keras.Input(shape, name="image"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPool2D(),
            layers.Dropout(0.1),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPool2D(),
            layers.Dropout(0.1),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.4),
            layers.Dense(classes, activation="softmax"),
        ],
        name="baseline",
    )


def plain(
    shape: tuple[int, int, int], classes: int, *, stages: Sequence[Sequence[int]], name: str
) -> Any:
    """Build a chain of 3x3 convolutions with ReLU, the operators with the fastest int8 kernels.

    This is the inference form of Ding et al., "RepVGG: Making VGG-style ConvNets Great Again",
    arXiv:2101.03697.

    Args:
        shape: ``(height, width, channels)`` of the input, float32.
        classes: number of classes.
        stages: channels of each convolution, by stage; each stage but the first halves height and
            width.
        name: name of the model.

    Returns:
        Keras model, ``(n, height, width, channels)`` -> probabilities ``(n, classes)``.
    """
    image = keras.Input(shape, name="image")
    x = image
    for number, stage in enumerate(stages):
        for position, filters in enumerate(stage):
            strides = 2 if number and not position else 1
            x = layers.ReLU()(_normalized_convolution(x, filters, 3, strides))
    return keras.Model(image, _classification_head(x, classes), name=name)


def residual(
    shape: tuple[int, int, int],
    classes: int,
    *,
    widths: Sequence[int],
    blocks: Sequence[int],
    name: str,
) -> Any:
    """Build a residual network: stages of blocks of two 3x3 convolutions and a shortcut.

    See He et al., "Deep Residual Learning for Image Recognition", arXiv:1512.03385; wide and
    shallow as in Zagoruyko and Komodakis, arXiv:1605.07146.

    Args:
        shape: ``(height, width, channels)`` of the input, float32.
        classes: number of classes.
        widths: channels of each stage; each stage but the first halves height and width.
        blocks: number of blocks of each stage.
        name: name of the model.

    Returns:
        Keras model, ``(n, height, width, channels)`` -> probabilities ``(n, classes)``.
    """
    image = keras.Input(shape, name="image")
    x = layers.ReLU()(_normalized_convolution(image, widths[0], 3))
    for number, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        for position in range(count):
            strides = 2 if number and not position else 1
            residual_path = layers.ReLU()(_normalized_convolution(x, width, 3, strides))
            residual_path = _normalized_convolution(residual_path, width, 3)
            shortcut = x
            if strides > 1 or x.shape[-1] != width:
                shortcut = _normalized_convolution(x, width, 1, strides)
            x = layers.ReLU()(layers.Add()([residual_path, shortcut]))
    return keras.Model(image, _classification_head(x, classes), name=name)


def _normalized_convolution(x: Any, filters: int, kernel_size: int, strides: int = 1) -> Any:
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
    )(x)
    return layers.BatchNormalization(momentum=_BATCH_NORM_MOMENTUM)(x)


def _classification_head(x: Any, classes: int) -> Any:
    x = layers.GlobalAveragePooling2D(name=_POOLING_NAME)(x)
    return layers.Dense(classes, activation="softmax", name=_HEAD_NAME)(x)


NETWORKS: Mapping[str, Callable[[tuple[int, int, int], int], Any]] = {
    "baseline": baseline,
    "nano": functools.partial(plain, stages=((8,), (16, 16, 24), (32, 32, 32)), name="nano"),
    "edge": functools.partial(plain, stages=((16,), (32, 32, 32), (64, 64, 64, 64)), name="edge"),
    "photo": functools.partial(
        plain, stages=((24,), (48, 48), (96, 96), (160, 160, 160)), name="photo"
    ),
    "max": functools.partial(residual, widths=(16, 64, 128), blocks=(0, 3, 3), name="max"),
}
"""Functions that build a network, ``(shape, classes) -> Keras model``, by the network's name."""
