"""Recipes and the networks they name."""

from __future__ import annotations

import pytest

from fmx_runtime.errors import DataError
from fmx_training import recipes
from fmx_training.networks.architectures import NETWORKS
from fmx_training.networks.fuse_batch_norm import fuse_batch_norm


@pytest.mark.parametrize("name", sorted(set(recipes.RECIPES) - {"finetune"}))
def test_recipes_build_their_network(name: str) -> None:
    """Each recipe's network takes the shape it is given and answers with as many classes."""
    recipe = recipes.get(name)
    model = NETWORKS[recipe.network]((28, 28, 1), 10)
    assert model.input_shape == (None, 28, 28, 1)
    assert model.output_shape == (None, 10)


def test_an_int8_epoch_is_for_plain_networks() -> None:
    """`fmx_training.loop.quantization_aware` would round others in the wrong places."""
    for recipe in recipes.RECIPES.values():
        if recipe.int8_epochs:
            model = NETWORKS[recipe.network]((28, 28, 1), 10)
            assert fuse_batch_norm(model) is not model


def test_the_baseline_is_convolutions_pooling_and_softmax() -> None:
    """baseline: Conv2D with ReLU and MaxPool2D blocks, a softmax, at most 15 epochs of Adam."""
    model = NETWORKS["baseline"]((28, 28, 1), 10)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds[:2] == ["Conv2D", "MaxPooling2D"]
    assert kinds.count("Conv2D") == kinds.count("MaxPooling2D") == 2
    assert model.layers[-1].activation.__name__ == "softmax"
    assert recipes.get("baseline").epochs <= 15


def test_an_unknown_recipe_is_said() -> None:
    """The message names what was asked for and what there is."""
    with pytest.raises(DataError, match="no recipe 'nonesuch'; choose baseline"):
        recipes.get("nonesuch")
