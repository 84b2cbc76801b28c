"""Recipes: everything that decides how a network is trained, besides the data and the seed."""

from __future__ import annotations

from dataclasses import dataclass

from fmx_runtime.errors import DataError

__all__ = ["RECIPES", "Recipe", "get"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyper-parameters of one way of training.

    Adam with a learning rate that falls from ``learning_rate`` to 0 along half a cosine; the loss
    is the categorical cross-entropy.

    Attributes:
        name: what ``fmx train --recipe`` calls it.
        network: key of `fmx_training.models.NETWORKS`.
        epochs: passes over the training pictures.
        batch_size: pictures per step.
        learning_rate: of the first step.
        scale: the network sees ``pixel * scale + offset``.
        offset: likewise.
    """

    name: str
    network: str
    epochs: int
    batch_size: int
    learning_rate: float
    scale: float = 1 / 255
    offset: float = 0.0


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(name="baseline", network="baseline", epochs=15, batch_size=64, learning_rate=1e-3),
    )
}


def get(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        DataError: there is none.
    """
    if name not in RECIPES:
        raise DataError(f"no recipe '{name}'; choose {' or '.join(sorted(RECIPES))}")
    return RECIPES[name]
