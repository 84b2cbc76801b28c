"""The networks that recipes train. A network knows its input's shape and how many classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import layers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["NETWORKS", "baseline"]


def baseline(shape: tuple[int, int, int], classes: int) -> Any:
    """Two blocks of convolution, ReLU and max pooling, and two dense layers.

    The textbook network for small pictures; dropout is what keeps its 225,000 parameters (for
    28x28 gray pictures and ten classes) from learning the training pictures by heart.

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


NETWORKS: Mapping[str, Callable[[tuple[int, int, int], int], Any]] = {"baseline": baseline}
"""Builders by the names that recipes use."""
