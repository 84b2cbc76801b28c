"""The options of a training run, and checks that they are compatible."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fmx_runtime.errors import DataError
from fmx_training import recipes
from fmx_training.data import fashion_mnist
from fmx_training.networks import backbones
from fmx_training.run_folder import input_spec

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_runtime.model_file.metadata import InputSpec
    from fmx_training.recipes import Recipe
    from fmx_training.run_folder import Run

__all__ = ["TrainOptions"]

_IMAGE_SIZE = 64
_BACKBONE_IMAGE_SIZE = 128
_LARGEST_IMAGE_SIZE = 512


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The options of ``fmx train``: what to train, and on which images.

    Attributes:
        recipe: name of a recipe; None for the one that fits the images.
        epochs: number of epochs; None for the recipe's own number.
        seed: random seed; None for 0.
        output: run folder; None for a new one named after the recipe and the time.
        data_dir: folder with Fashion-MNIST's files; None to look in the usual places.
        photos: folder of photos of clothes to train on in addition to Fashion-MNIST.
        teachers: folders of finished runs to distill from.
        data: folder of the user's own images, instead of Fashion-MNIST.
        image_size: height and width in pixels of the user's images in the network's input.
        segment_garment: whether to segment the garment in each of the user's images.
        backbone: network of keras.applications to train on the user's images.
        weights: the backbone's initial weights: ``imagenet``, ``none``, or a file.
    """

    recipe: str | None = None
    epochs: int | None = None
    seed: int | None = None
    output: Path | None = None
    data_dir: Path | None = None
    photos: Path | None = None
    teachers: tuple[Path, ...] = ()
    data: Path | None = None
    image_size: int | None = None
    segment_garment: bool = False
    backbone: str | None = None
    weights: str | None = None

    def choose_recipe(self) -> Recipe:
        """Check that the options of a new run are compatible, and return its recipe.

        Raises:
            DataError: two options exclude each other, one needs another, or a value is invalid.
        """
        self._check_combination()
        recipe = recipes.get(self.recipe or self._default_recipe())
        if recipe.network == "backbone" and not self.backbone:
            raise DataError(f"recipe '{recipe.name}' needs --backbone, the network to train")
        return recipe

    def input_spec(self, recipe: Recipe) -> InputSpec:
        """Return the input of the network; three channels for the user's own images.

        Raises:
            DataError: the backbone is unknown, or does not take images of this size.
        """
        if not self.data:
            return input_spec(
                recipe,
                fashion_mnist.SHAPE,
                polarity=fashion_mnist.POLARITY,
                subject=fashion_mnist.SUBJECT,
            )
        size = self.image_size or (_BACKBONE_IMAGE_SIZE if self.backbone else _IMAGE_SIZE)
        spec = input_spec(
            recipe,
            (size, size, 3),
            polarity="light-on-dark" if self.segment_garment else "any",
            subject="garment" if self.segment_garment else "whole",
        )
        if not self.backbone:
            return spec
        backbones.check(self.backbone, size, self.backbone_weights)
        scale, offset = backbones.BACKBONES[self.backbone]
        return replace(spec, scale=scale, offset=offset)

    @property
    def backbone_weights(self) -> str:
        """The initial weights of the backbone; empty without a backbone."""
        return (self.weights or "imagenet") if self.backbone else ""

    def check_resumes(self, run: Run) -> None:
        """Check that a run can be resumed with these options.

        Raises:
            DataError: the run was started with another recipe, seed or number of epochs, or an
                option is given that a resumed run does not take.
        """
        info = run.info
        for option, given, started in (
            ("--recipe", self.recipe, info.recipe.name),
            ("--epochs", self.epochs, info.epochs),
            ("--seed", self.seed, info.seed),
        ):
            if given not in {None, started}:
                raise DataError(
                    f"'{run.folder}' was started with {option} {started}, which --resume cannot "
                    f"change; start a new run for {option} {given}"
                )
        for option, unexpected in (
            ("--photos", self.photos),
            ("--teacher", self.teachers),
            ("--data", self.data),
            ("--image-size", self.image_size),
            ("--segment-garment", self.segment_garment),
            ("--backbone", self.backbone),
            ("--weights", self.weights),
        ):
            if unexpected:
                raise DataError(
                    f"{option} cannot be used with --resume: '{run.folder}' has its own settings; "
                    f"leave out {option}"
                )

    def _check_combination(self) -> None:
        if self.data and (self.photos or self.data_dir):
            other = "--photos" if self.photos else "--data-dir"
            raise DataError(f"--data is for your own images, {other} for Fashion-MNIST; give one")
        for option, given in (
            ("--image-size", self.image_size),
            ("--segment-garment", self.segment_garment),
            ("--backbone", self.backbone),
        ):
            if given and not self.data:
                raise DataError(f"{option} needs --data, the folder of your own images")
        if self.weights and not self.backbone:
            raise DataError("--weights needs --backbone, the network that they belong to")
        if self.image_size and self.image_size > _LARGEST_IMAGE_SIZE:
            raise DataError(
                f"--image-size {self.image_size} is more than {_LARGEST_IMAGE_SIZE} pixels; "
                "give a smaller one"
            )

    def _default_recipe(self) -> str:
        if self.backbone:
            return "finetune"
        return "photo" if self.data else recipes.DEFAULT_RECIPE
