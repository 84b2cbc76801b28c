"""Batch normalization is fused into the convolutions of plain networks."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from fmx_training.networks.architectures import NETWORKS
from fmx_training.networks.fuse_batch_norm import fuse_batch_norm


def _trained(name: str, shape: tuple[int, int, int]) -> Any:
    """A network whose normalizations have random weights, as after a training."""
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
def test_predictions_are_unchanged(name: str, shape: tuple[int, int, int]) -> None:
    """Probabilities differ by at most 1e-4, also with strides and odd image sizes."""
    model = _trained(name, shape)
    images = np.random.default_rng(1).random((16, *shape), np.float32)
    expected, scores = (net.predict(images, verbose=0) for net in (model, fuse_batch_norm(model)))
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    assert np.ptp(expected, axis=0).max() > 0.01  # scores depend on the image


def test_no_normalization_is_left() -> None:
    """The fused network has convolutions, global average pooling and a dense layer only."""
    fused = fuse_batch_norm(NETWORKS["nano"]((28, 28, 1), 10))
    kinds = [type(layer).__name__ for layer in fused.layers]
    assert kinds == ["InputLayer", *["Conv2D"] * 7, "GlobalAveragePooling2D", "Dense"]
    assert fused.name == "nano"


@pytest.mark.parametrize("name", ["baseline", "max"])
def test_other_networks_are_returned_unchanged(name: str) -> None:
    """Networks without batch normalization, and residual networks, are not fused."""
    model = NETWORKS[name]((28, 28, 1), 10)
    assert fuse_batch_norm(model) is model
