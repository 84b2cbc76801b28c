"""The images of a training run: read for a new run, or loaded again for an existing one."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmx_runtime.errors import DataError
from fmx_training.data import clothing_photos, fashion_mnist, image_folder, saved_images
from fmx_training.data.training_examples import concatenate, from_dataset, from_unbalanced_dataset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fmx_runtime.labeled_images import Watch
    from fmx_runtime.model_file.metadata import InputSpec
    from fmx_training.data.dataset import Splits
    from fmx_training.data.training_examples import Examples

__all__ = ["TrainingData", "from_fashion_mnist", "from_image_folder", "reload_training_data"]


@dataclass(frozen=True)
class TrainingData:
    """The images of a run.

    Attributes:
        splits: training, validation and test images.
        photos: further training images, or None.
        user_images: whether ``splits`` are the user's own images. A run saves a copy of those.
    """

    splits: Splits
    photos: Examples | None = None
    user_images: bool = False

    @functools.cached_property
    def examples(self) -> Examples:
        """All training examples."""
        if self.user_images:
            return from_unbalanced_dataset(self.splits.train)
        examples = from_dataset(self.splits.train)
        return concatenate([examples, self.photos]) if self.photos else examples

    def save(self, folder: Path) -> None:
        """Save in a run folder what cannot be downloaded again: the user's images and photos."""
        if self.user_images:
            saved_images.save_splits(folder, self.splits)
        if self.photos:
            saved_images.save_photos(folder, self.photos)


def from_fashion_mnist(
    data_dir: Path | None,
    photos: Path | None,
    spec: InputSpec,
    *,
    watch: Watch,
    report: Callable[[str], None],
) -> TrainingData:
    """Read Fashion-MNIST, and photos of clothes if a folder of them is given.

    Args:
        data_dir: folder of Fashion-MNIST's files; None to look in the usual places.
        photos: folder of photos, see `fmx_training.data.clothing_photos`; None for none.
        spec: the network's input.
        watch: wraps an iterable, given its length and a description, to show progress.
        report: called with one line about each file that is skipped.
    """
    splits = fashion_mnist.load(data_dir)
    if photos is None:
        return TrainingData(splits)
    taken = clothing_photos.read(photos, spec, splits.train.class_names, watch=watch, report=report)
    return TrainingData(splits, taken)


def from_image_folder(
    folder: Path,
    spec: InputSpec,
    seed: int,
    *,
    gray: bool,
    watch: Watch,
    report: Callable[[str], None],
) -> tuple[TrainingData, InputSpec]:
    """Read the user's labeled images.

    Args:
        folder: see `fmx_training.data.image_folder`.
        spec: the network's input, with three channels.
        seed: of the split.
        gray: whether the input gets one channel if all images are gray.
        watch: wraps an iterable, given its length and a description, to show progress.
        report: called with one line about each file that is skipped.

    Returns:
        The images and the input specification that they were prepared for.
    """
    splits, spec = image_folder.read(folder, spec, seed, gray=gray, watch=watch, report=report)
    return TrainingData(splits, user_images=True), spec


def reload_training_data(
    folder: Path, labels: tuple[str, ...], digest: str, data_dir: Path | None
) -> TrainingData:
    """Load the images that a run was started with.

    Args:
        folder: the run folder.
        labels: the run's classes.
        digest: SHA-256 of the run's training images and labels, see `Dataset.digest`.
        data_dir: folder of Fashion-MNIST's files; None to look in the usual places.

    Raises:
        DataError: the images are missing, or they are not those that the run was started with.
    """
    if splits := saved_images.read_splits(folder):
        if data_dir:
            raise DataError(f"'{folder}' has its own images; --data-dir is for Fashion-MNIST")
        return TrainingData(splits, user_images=True)
    splits = fashion_mnist.load(data_dir)
    if splits.train.digest() != digest:
        raise DataError(
            f"'{folder}' was started with other training data than {splits.train.name} now"
        )
    return TrainingData(splits, saved_images.read_photos(folder, labels))
