"""Networks with branches, and the plain ones made of them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from fmx_training.fold import folded
from fmx_training.models import NETWORKS, plain


def unsettled(model: Any) -> Any:
    """Batch normalization with statistics and factors as after a training, not 0 and 1."""
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            count = layer.gamma.shape[0]
            layer.set_weights(
                [
                    random.normal(1, 0.2, count),
                    random.normal(0, 0.2, count),
                    random.normal(0, 0.5, count),
                    random.uniform(0.5, 2, count),
                ]
            )
    return model


@pytest.mark.parametrize(
    "shape",
    [(28, 28, 1), (30, 21, 3), (7, 9, 1), (33, 64, 3)],
    ids="{0[0]}x{0[1]}x{0[2]}".format,
)
def test_answers_stay(shape: tuple[int, int, int]) -> None:
    """Whatever the size: strides pad even and odd sides otherwise."""
    stages = ((8,), (12, 12), (16, 16, 8))
    model = unsettled(plain(shape, 5, stages=stages, name="small"))
    pictures = np.random.default_rng(1).random((20, *shape), dtype=np.float32)
    expected, answers = (before_softmax(net, pictures) for net in (model, folded(model)))
    spread = np.ptp(expected, axis=0).max()
    assert spread > 0.1  # they say something
    assert np.abs(answers - expected).max() < 1e-4 * spread


def before_softmax(model: Any, pictures: np.ndarray) -> np.ndarray:
    """The features that the last layer reads: float32 ``(n, channels)``."""
    features = keras.Model(model.input, model.get_layer("mean").output)
    answers: np.ndarray = features.predict(pictures, verbose=0)
    return answers


@pytest.mark.parametrize("name", ["nano", "edge", "photo"])
def test_one_convolution_is_left_of_each_unit(name: str) -> None:
    """What is deployed has convolutions with ReLU, a mean and a dense layer, and its name."""
    model = folded(NETWORKS[name]((28, 28, 1), 10))
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds[0] == "InputLayer"
    assert set(kinds[1:-2]) == {"Conv2D"}
    assert kinds[-2:] == ["GlobalAveragePooling2D", "Dense"]
    assert model.name == name


@pytest.mark.parametrize("name", ["baseline", "max"])
def test_without_branches_nothing_changes(name: str) -> None:
    """Other networks are deployed as they are."""
    model = NETWORKS[name]((28, 28, 1), 10)
    assert folded(model) is model
