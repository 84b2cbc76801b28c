"""Recipes, and the networks that they train."""

from __future__ import annotations

import pytest

from fmx_runtime.errors import DataError
from fmx_training import recipes
from fmx_training.networks.architectures import NETWORKS
from fmx_training.networks.fuse_batch_norm import fuse_batch_norm


@pytest.mark.parametrize("name", sorted(set(recipes.RECIPES) - {"finetune"}))
def test_recipes_build_their_network(name: str) -> None:
    """The network of each recipe has the requested input shape and number of classes."""
    recipe = recipes.get(name)
    model = NETWORKS[recipe.network]((28, 28, 1), 10)
    assert model.input_shape == (None, 28, 28, 1)
    assert model.output_shape == (None, 10)


def test_quantization_aware_epochs_are_for_plain_networks() -> None:
    """`fmx_training.loop.quantization_aware` supports no other networks."""
    for recipe in recipes.RECIPES.values():
        if recipe.quantization_aware_epochs:
            model = NETWORKS[recipe.network]((28, 28, 1), 10)
            assert fuse_batch_norm(model) is not model


def test_baseline_network() -> None:
    """baseline: Conv2D with ReLU and MaxPool2D blocks, a softmax, at most 15 epochs of Adam."""
    model = NETWORKS["baseline"]((28, 28, 1), 10)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds[:2] == ["Conv2D", "MaxPooling2D"]
    assert kinds.count("Conv2D") == kinds.count("MaxPooling2D") == 2
    assert model.layers[-1].activation.__name__ == "softmax"
    assert recipes.get("baseline").epochs <= 15


def test_unknown_recipe() -> None:
    """The message names the unknown recipe and the existing ones."""
    with pytest.raises(DataError, match="no recipe 'nonesuch'; choose baseline"):
        recipes.get("nonesuch")
