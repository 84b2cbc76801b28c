"""Fuse batch normalization into the convolutions before it, for inference."""

# The TFLite converter fuses too, but then its tensor names list all fused layers. A network for a
# microcontroller has no room for such names.

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["fuse_batch_norm"]


def fuse_batch_norm(model: Any) -> Any:
    """Return a plain network in which batch normalization is fused into the convolutions.

    Args:
        model: a Keras model from `fmx_training.networks.architectures`.

    Returns:
        A Keras model with the same name and, to the precision of float32, the same predictions; or
        ``model`` itself if it is not from `fmx_training.networks.architectures.plain`.
    """
    import keras
    from keras import layers

    _, *body, _, head = model.layers
    unit = [layers.Conv2D, layers.BatchNormalization, layers.ReLU]
    if [type(layer) for layer in body] != unit * (len(body) // len(unit)):
        return model
    image = keras.Input(model.input_shape[1:], name="image")
    x = image
    for number, (trained, normalization) in enumerate(zip(body[::3], body[1::3], strict=True)):
        fused = layers.Conv2D(
            trained.filters,
            trained.kernel_size,
            trained.strides,
            "same",
            activation="relu",
            name=f"c{number + 1}",  # short: the TFLite converter repeats it nine times
        )
        x = fused(x)
        fused.set_weights(_fused_weights(trained, normalization))
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    output = layers.Dense(head.units, activation="softmax", name=head.name)
    fused_model = keras.Model(image, output(x), name=model.name)
    output.set_weights(head.get_weights())
    return fused_model


def _fused_weights(convolution: Any, normalization: Any) -> list[Any]:
    """Return kernel and bias of a convolution without bias and the normalization after it."""
    kernel = convolution.get_weights()[0].astype(np.float64)
    gamma, beta, mean, variance = (
        weights.astype(np.float64) for weights in normalization.get_weights()
    )
    factor = gamma / np.sqrt(variance + normalization.epsilon)
    return [kernel * factor, beta - mean * factor]
