"""A network trained with branches as the plain one that is deployed: equal answers, fewer layers.

Batch normalization and sums are linear, so a 3x3 and a 1x1 convolution and the input itself, each
normalized and then added up, are one 3x3 convolution with a bias.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["folded"]

_SUM = "_sum"


def folded(model: Any) -> Any:
    """The same network with each unit of branches as one convolution.

    Args:
        model: a Keras model of `fmx_training.models`.

    Returns:
        A Keras model of the same name that answers alike (to float32's precision); ``model``
        itself if it has no branches.
    """
    import keras
    from keras import layers

    names = [layer.name for layer in model.layers]
    units = [name.removesuffix(_SUM) for name in names if name.endswith(_SUM)]
    if not units:
        return model
    image = keras.Input(model.input_shape[1:], name=model.layers[0].name)
    x = image
    for unit in units:
        trained = model.get_layer(f"{unit}_3x3")
        kernel, bias = _merged(model, unit)
        convolution = layers.Conv2D(
            trained.filters, 3, trained.strides, "same", activation="relu", name=unit
        )
        x = convolution(x)
        convolution.set_weights([kernel, bias])
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    answer = model.get_layer("answer")
    last = layers.Dense(answer.units, activation="softmax", name="answer")
    whole = keras.Model(image, last(x), name=model.name)
    last.set_weights(answer.get_weights())
    return whole


def _merged(model: Any, unit: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Kernel ``(3, 3, in, out)`` and bias ``(out,)`` of a unit's branches together."""
    wide = model.get_layer(f"{unit}_3x3").get_weights()[0].astype(np.float64)
    kernel, bias = np.zeros_like(wide), np.zeros(wide.shape[-1])
    for branch in ("3x3", "1x1", "same"):
        try:
            normalization = model.get_layer(f"{unit}_{branch}_bn")
        except ValueError:  # only units that keep their shape pass their input on
            continue
        gamma, beta, mean, variance = (
            weights.astype(np.float64) for weights in normalization.get_weights()
        )
        factor = gamma / np.sqrt(variance + normalization.epsilon)
        bias += beta - mean * factor
        if branch == "3x3":
            kernel += wide * factor
        elif branch == "1x1":
            narrow = model.get_layer(f"{unit}_1x1").get_weights()[0]
            kernel[_middle(model.get_layer(f"{unit}_3x3"))] += narrow[0, 0] * factor
        else:
            kernel[1, 1] += np.diag(factor)
    return kernel.astype(np.float32), bias.astype(np.float32)


def _middle(convolution: Any) -> tuple[int, int]:
    """Which element of a 3x3 kernel meets the pixel that a 1x1 kernel meets.

    With strides, "same" pads as little as it can, and less in front: of an even side nothing.
    """
    sides = zip(convolution.input.shape[1:3], convolution.strides, strict=True)
    down, across = (max(0, (-(-side // step) - 1) * step + 3 - side) // 2 for side, step in sides)
    return down, across
