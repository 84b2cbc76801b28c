"""Plain networks without batch normalization, as they are deployed."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from fmx_training.networks.architectures import NETWORKS
from fmx_training.networks.fuse_batch_norm import fuse_batch_norm


def _used(name: str, shape: tuple[int, int, int]) -> Any:
    """A network whose normalizations have all come to differ, as learning makes them."""
    keras.utils.set_random_seed(0)
    model = NETWORKS[name](shape, 10)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights(
                [
                    random.uniform(0.5, 1.5, gamma.shape),
                    random.normal(0, 0.2, beta.shape),
                    random.normal(0, 0.2, mean.shape),
                    random.uniform(0.5, 1.5, variance.shape),
                ]
            )
    return model


@pytest.mark.parametrize("name", ["nano", "edge", "photo"])
@pytest.mark.parametrize("shape", [(28, 28, 1), (33, 30, 3)])
def test_the_answers_stay(name: str, shape: tuple[int, int, int]) -> None:
    """To 1 in 10,000, also where strides meet odd sides."""
    model = _used(name, shape)
    images = np.random.default_rng(1).random((16, *shape), np.float32)
    expected, answers = (net.predict(images, verbose=0) for net in (model, fuse_batch_norm(model)))
    np.testing.assert_allclose(answers, expected, atol=1e-4)
    assert np.ptp(expected, axis=0).max() > 0.01  # they do depend on the image


def test_only_convolutions_are_left() -> None:
    """Nothing but convolutions with ReLU, a mean and a dense layer."""
    plain = fuse_batch_norm(NETWORKS["nano"]((28, 28, 1), 10))
    kinds = [type(layer).__name__ for layer in plain.layers]
    assert kinds == ["InputLayer", *["Conv2D"] * 7, "GlobalAveragePooling2D", "Dense"]
    assert plain.name == "nano"


@pytest.mark.parametrize("name", ["baseline", "max"])
def test_other_networks_stay_as_they_are(name: str) -> None:
    """The textbook network, and residual ones."""
    model = NETWORKS[name]((28, 28, 1), 10)
    assert fuse_batch_norm(model) is model
