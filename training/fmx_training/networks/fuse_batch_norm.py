"""A plain network as it is deployed: batch normalization as part of the convolution before it.

A converter does so too, but then names its tensors after all that went into them, which a network
for a microcontroller has no room for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["fuse_batch_norm"]


def fuse_batch_norm(model: Any) -> Any:
    """The same network with each normalized convolution as one convolution with a bias.

    Args:
        model: a Keras model of `fmx_training.networks.architectures`.

    Returns:
        A Keras model of the same name that answers alike (to float32's precision); ``model``
        itself if it is none of `fmx_training.networks.architectures.plain`.
    """
    import keras
    from keras import layers

    _, *units, _, answer = model.layers
    kinds = [layers.Conv2D, layers.BatchNormalization, layers.ReLU]
    if [type(layer) for layer in units] != kinds * (len(units) // len(kinds)):
        return model
    image = keras.Input(model.input_shape[1:], name="image")
    x = image
    for number, (trained, normalization) in enumerate(zip(units[::3], units[1::3], strict=True)):
        kernel = trained.get_weights()[0].astype(np.float64)
        gamma, beta, mean, variance = (
            weights.astype(np.float64) for weights in normalization.get_weights()
        )
        factor = gamma / np.sqrt(variance + normalization.epsilon)
        convolution = layers.Conv2D(
            trained.filters,
            trained.kernel_size,
            trained.strides,
            "same",
            activation="relu",
            name=f"c{number + 1}",  # a converter repeats it nine times
        )
        x = convolution(x)
        convolution.set_weights([kernel * factor, beta - mean * factor])
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    last = layers.Dense(answer.units, activation="softmax", name="answer")
    whole = keras.Model(image, last(x), name=model.name)
    last.set_weights(answer.get_weights())
    return whole
