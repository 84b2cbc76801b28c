"""Recipes: everything that decides how a network is trained, besides the data and the seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from fmx_runtime.errors import DataError
from fmx_training.data.augmentation import Augmentation

__all__ = ["DEFAULT", "RECIPES", "Recipe", "get"]

_NONE = Augmentation()
_CLOTHES = Augmentation(shift=1 / 14, flip=True, erase=0.25)
_PHOTOS = Augmentation(flip=True, erase=0.25, crop=0.4, light=0.25, mix=0.5)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyper-parameters of one way of training.

    The learning rate falls from ``learning_rate`` to 0 along half a cosine; the loss is the
    categorical cross-entropy.

    Attributes:
        name: what ``fmx train --recipe`` calls it.
        network: key of `fmx_training.networks.architectures.NETWORKS`.
        epochs: passes over the training images.
        batch_size: images per step.
        learning_rate: the highest.
        optimizer: "adam", or "muon" with a momentum of 0.9, see `fmx_training.loop.muon`.
        warmup: fraction of the steps in which the learning rate rises from 0 to its highest.
        weight_decay: what kernels lose per step, as a fraction, times the learning rate; with muon
            those of dense layers only, since convolutions' keep their norm.
        label_smoothing: what a target gives away to all classes alike.
        augmentation: how the images change from epoch to epoch.
        views: where a run has teachers, the images change after so many epochs as they did
            before, so that teachers need to answer for so many changes only; 0 for never.
        teacher_weight: what the teachers' answers count in a target, where a run has teachers; the
            label counts the rest.
        int8_epochs: epochs after those, in which a plain network learns to answer in int8 as it
            does in float, see `fmx_training.loop.quantization_aware`.
        scale: the network sees ``pixel * scale + offset``.
        offset: likewise.
    """

    name: str
    network: str
    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: Literal["adam", "muon"] = "adam"
    warmup: float = 0.0
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    augmentation: Augmentation = _NONE
    views: int = 0
    teacher_weight: float = 0.0
    int8_epochs: int = 0
    scale: float = 1 / 255
    offset: float = 0.0


DEFAULT = "edge"
"""The recipe of those who name none."""

_EDGE = Recipe(
    name="edge",
    network="edge",
    epochs=40,
    batch_size=128,
    learning_rate=0.1,
    optimizer="muon",
    warmup=0.1,
    weight_decay=1e-3,
    augmentation=_CLOTHES,
    views=12,
    teacher_weight=0.9,
)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(name="baseline", network="baseline", epochs=15, batch_size=64, learning_rate=1e-3),
        replace(_EDGE, name="nano", network="nano", epochs=30, int8_epochs=1),
        _EDGE,
        replace(_EDGE, name="max", network="max", epochs=24),
        Recipe(
            name="photo",
            network="photo",
            epochs=40,
            batch_size=64,
            learning_rate=0.1,
            optimizer="muon",
            warmup=0.1,
            weight_decay=1e-3,
            label_smoothing=0.1,
            augmentation=_PHOTOS,
        ),
        Recipe(
            name="finetune",
            network="backbone",
            epochs=30,
            batch_size=32,
            learning_rate=5e-4,
            warmup=0.1,
            label_smoothing=0.1,
            augmentation=_PHOTOS,
        ),
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
