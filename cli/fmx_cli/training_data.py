"""What runs learn from: gathered anew, or found again for a run that there is."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmx_cli.terminal import note, watch
from fmx_runtime.errors import DataError
from fmx_training.data import clothing_photos, fashion_mnist, labeled_folders, saved_images
from fmx_training.data.examples import joined, of_dataset, of_unequal_classes

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_runtime.model_file.metadata import InputSpec
    from fmx_training.data.dataset import Splits
    from fmx_training.data.examples import Examples
    from fmx_training.run_folder import Run

__all__ = ["TrainingData", "again", "from_fashion_mnist", "from_image_folder"]


@dataclass(frozen=True)
class TrainingData:
    """The images of a run.

    Attributes:
        splits: to learn from, to choose by, and to measure with.
        photos: to learn from as well.
        own: whether they are the user's, which the run has to keep.
    """

    splits: Splits
    photos: Examples | None = None
    own: bool = False

    @functools.cached_property
    def examples(self) -> Examples:
        """All that is learnt from."""
        if self.own:
            return of_unequal_classes(self.splits.train)
        examples = of_dataset(self.splits.train)
        return joined([examples, self.photos]) if self.photos else examples

    def keep(self, folder: Path) -> None:
        """Write what cannot be found again into a run's folder."""
        if self.own:
            saved_images.save_splits(folder, self.splits)
        if self.photos:
            saved_images.save_photos(folder, self.photos)


def from_fashion_mnist(data_dir: Path | None, photos: Path | None, spec: InputSpec) -> TrainingData:
    """Fashion-MNIST, and photos of clothes if a folder of them is given."""
    splits = fashion_mnist.load(data_dir)
    if photos is None:
        return TrainingData(splits)
    taken = clothing_photos.read(photos, spec, splits.train.class_names, watch=watch, report=note)
    return TrainingData(splits, taken)


def from_image_folder(
    folder: Path, spec: InputSpec, seed: int, *, gray: bool
) -> tuple[TrainingData, InputSpec]:
    """The user's images, and the spec of the network's input.

    Args:
        folder: see `fmx_training.data.labeled_folders`.
        spec: of an input in colour.
        seed: of the split.
        gray: whether the input may be gray, where all images are.
    """
    splits, spec = labeled_folders.read(folder, spec, seed, gray=gray, watch=watch, report=note)
    return TrainingData(splits, own=True), spec


def again(run: Run, data_dir: Path | None) -> TrainingData:
    """What a run was begun with.

    Raises:
        DataError: it is not there any more.
    """
    if splits := saved_images.splits(run.folder):
        if data_dir:
            raise DataError(f"'{run.folder}' keeps its own images; --data-dir is for Fashion-MNIST")
        return TrainingData(splits, own=True)
    splits = fashion_mnist.load(data_dir)
    if splits.train.digest() != run.info.data_digest:
        raise DataError(
            f"'{run.folder}' was begun with other training data than {splits.train.name} now"
        )
    return TrainingData(splits, saved_images.photos(run.folder, run.info.labels))
