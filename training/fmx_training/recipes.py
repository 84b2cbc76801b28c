"""Training recipes: all hyper-parameters of a training, except the data and the seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from fmx_runtime.errors import DataError
from fmx_training.data.augmentation import Augmentation

__all__ = ["DEFAULT_RECIPE", "RECIPES", "Recipe", "get"]

_NO_AUGMENTATION = Augmentation()
_CLOTHES = Augmentation(shift=1 / 14, flip=True, erase=0.25)
_PHOTOS = Augmentation(flip=True, erase=0.25, crop=0.4, color_jitter=0.25, mixup=0.5)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyper-parameters of a training. The loss is the categorical cross-entropy.

    Attributes:
        name: name of the recipe, as in ``fmx train --recipe NAME``.
        network: key of `fmx_training.networks.architectures.NETWORKS`, or ``backbone``.
        epochs: number of passes over the training images.
        batch_size: number of images per step.
        learning_rate: the highest learning rate, see `fmx_training.loop.learning_rate`.
        optimizer: "adam", or "muon" with a momentum of 0.9, see `fmx_training.loop.muon`.
        warmup_ratio: fraction of the steps during which the learning rate rises from 0, 0..1.
        weight_decay: decoupled weight decay of the kernels, multiplied by the learning rate. With
            muon it applies to dense layers only, because kernels of convolutions keep their norm.
        label_smoothing: part of each target that is spread evenly over all classes, 0..1.
        augmentation: the random changes of the training images.
        views: with teachers, the number of different augmentations of the training set, which
            then repeat, so that each teacher predicts once for each; 0 for a new one every epoch.
        distillation_weight: with teachers, the weight of their soft targets in the targets, 0..1;
            the labels have the rest.
        quantization_aware_epochs: number of epochs of quantization-aware fine-tuning after the
            training, for plain networks only, see `fmx_training.loop.quantization_aware`.
        scale: the input of the network is ``pixel * scale + offset``.
        offset: likewise.
    """

    name: str
    network: str
    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: Literal["adam", "muon"] = "adam"
    warmup_ratio: float = 0.0
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    augmentation: Augmentation = _NO_AUGMENTATION
    views: int = 0
    distillation_weight: float = 0.0
    quantization_aware_epochs: int = 0
    scale: float = 1 / 255
    offset: float = 0.0


DEFAULT_RECIPE = "edge"
"""The recipe for Fashion-MNIST if none is named."""

_EDGE = Recipe(
    name="edge",
    network="edge",
    epochs=40,
    batch_size=128,
    learning_rate=0.1,
    optimizer="muon",
    warmup_ratio=0.1,
    weight_decay=1e-3,
    augmentation=_CLOTHES,
    views=12,
    distillation_weight=0.9,
)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(name="baseline", network="baseline", epochs=15, batch_size=64, learning_rate=1e-3),
        replace(_EDGE, name="nano", network="nano", epochs=30, quantization_aware_epochs=1),
        _EDGE,
        replace(_EDGE, name="max", network="max", epochs=24),
        Recipe(
            name="photo",
            network="photo",
            epochs=40,
            batch_size=64,
            learning_rate=0.1,
            optimizer="muon",
            warmup_ratio=0.1,
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
            warmup_ratio=0.1,
            label_smoothing=0.1,
            augmentation=_PHOTOS,
        ),
    )
}


def get(name: str) -> Recipe:
    """Return the recipe with this name.

    Raises:
        DataError: there is no such recipe.
    """
    if name not in RECIPES:
        raise DataError(f"no recipe '{name}'; choose {' or '.join(sorted(RECIPES))}")
    return RECIPES[name]
