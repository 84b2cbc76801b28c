"""The networks that recipes train. A network knows its input's shape and how many classes."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import keras
from keras import layers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["NETWORKS", "baseline", "plain", "residual"]

_BN_MOMENTUM = 0.95
"""Running means settle within some sixty steps, as the short last part of a schedule wants."""


def baseline(shape: tuple[int, int, int], classes: int) -> Any:
    """Two blocks of convolution, ReLU and max pooling, and two dense layers.

    The textbook network for small images; dropout is what keeps its 225,000 parameters (for
    28x28 gray images and ten classes) from learning the training images by heart.

    Args:
        shape: ``(height, width, channels)`` of the input, float32.
        classes: width of the output.

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
    """3x3 convolutions with ReLU one after the other, which int8 kernels are fastest at.

    (As the deployed form of Ding et al., "RepVGG: Making VGG-style ConvNets Great Again",
    arXiv:2101.03697.)

    Args:
        shape: ``(height, width, channels)`` of the input, float32.
        classes: width of the output.
        stages: channels of each convolution; each stage but the first halves height and width.
        name: the model's.

    Returns:
        Keras model, ``(n, height, width, channels)`` -> probabilities ``(n, classes)``.
    """
    image = keras.Input(shape, name="image")
    x = image
    for number, stage in enumerate(stages):
        for place, filters in enumerate(stage):
            strides = 2 if number and not place else 1
            x = layers.ReLU()(_convolution(x, filters, 3, strides))
    return keras.Model(image, _answer(x, classes), name=name)


def residual(
    shape: tuple[int, int, int],
    classes: int,
    *,
    widths: Sequence[int],
    blocks: Sequence[int],
    name: str,
) -> Any:
    """A residual network: stages of two 3x3 convolutions with a way around them.

    (He et al., "Deep Residual Learning for Image Recognition", arXiv:1512.03385; wide and shallow
    as in Zagoruyko and Komodakis, arXiv:1605.07146.)

    Args:
        shape: ``(height, width, channels)`` of the input, float32.
        classes: width of the output.
        widths: channels of each stage; each but the first halves height and width.
        blocks: how many pairs of convolutions each stage has.
        name: the model's.

    Returns:
        Keras model, ``(n, height, width, channels)`` -> probabilities ``(n, classes)``.
    """
    image = keras.Input(shape, name="image")
    x = layers.ReLU()(_convolution(image, widths[0], 3))
    for number, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        for place in range(count):
            strides = 2 if number and not place else 1
            y = layers.ReLU()(_convolution(x, width, 3, strides))
            y = _convolution(y, width, 3)
            around = x
            if strides > 1 or x.shape[-1] != width:
                around = _convolution(x, width, 1, strides)
            x = layers.ReLU()(layers.Add()([y, around]))
    return keras.Model(image, _answer(x, classes), name=name)


def _convolution(x: Any, filters: int, side: int, strides: int = 1) -> Any:
    x = layers.Conv2D(
        filters,
        side,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
    )(x)
    return layers.BatchNormalization(momentum=_BN_MOMENTUM)(x)


def _answer(x: Any, classes: int) -> Any:
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return layers.Dense(classes, activation="softmax", name="answer")(x)


NETWORKS: Mapping[str, Callable[[tuple[int, int, int], int], Any]] = {
    "baseline": baseline,
    "nano": functools.partial(plain, stages=((8,), (16, 16, 24), (32, 32, 32)), name="nano"),
    "edge": functools.partial(plain, stages=((16,), (32, 32, 32), (64, 64, 64, 64)), name="edge"),
    "photo": functools.partial(
        plain, stages=((24,), (48, 48), (96, 96), (160, 160, 160)), name="photo"
    ),
    "max": functools.partial(residual, widths=(16, 64, 128), blocks=(0, 3, 3), name="max"),
}
"""Builders by the names that recipes use."""
