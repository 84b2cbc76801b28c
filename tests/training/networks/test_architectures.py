"""The network architectures."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from fmx_training.networks.architectures import NETWORKS


@pytest.mark.parametrize("name", sorted(NETWORKS))
@pytest.mark.parametrize(("shape", "classes"), [((28, 28, 1), 10), ((33, 30, 3), 4)])
def test_predictions_are_probabilities(
    name: str, shape: tuple[int, int, int], classes: int
) -> None:
    """Each network maps images of the given shape to probabilities of the given classes."""
    model = NETWORKS[name](shape, classes)
    images = np.random.default_rng(0).random((2, *shape), np.float32)
    scores = np.asarray(model(images, training=False))
    assert scores.shape == (2, classes)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("baseline", 225_034), ("nano", 32_978), ("edge", 153_594), ("max", 1_017_914)],
)
def test_number_of_parameters(name: str, parameters: int) -> None:
    """The networks for Fashion-MNIST have the documented numbers of trainable parameters."""
    model = NETWORKS[name]((28, 28, 1), 10)
    counted = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    assert counted == parameters


@pytest.mark.parametrize("name", ["nano", "edge", "photo"])
def test_stages_halve_the_image(name: str) -> None:
    """In plain networks each stage but the first starts with a stride of 2."""
    convolutions = [
        layer
        for layer in NETWORKS[name]((32, 32, 3), 10).layers
        if isinstance(layer, keras.layers.Conv2D)
    ]
    halved = [layer for layer in convolutions if layer.strides == (2, 2)]
    assert 32 // 2 ** len(halved) == convolutions[-1].output.shape[1]
    assert convolutions[0].strides == (1, 1)


def test_residual_network_has_shortcuts() -> None:
    """Max adds the input of each block to its output."""
    added = [
        layer
        for layer in NETWORKS["max"]((28, 28, 1), 10).layers
        if isinstance(layer, keras.layers.Add)
    ]
    assert len(added) == 6
