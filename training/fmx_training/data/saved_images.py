"""The copies of images that a run saves in its folder.

Fashion-MNIST can be downloaded again. A user's own images may be moved or changed, so a run on
those saves a copy in the network's size, for resuming, exporting and measuring::

    data/train.npz  data/validation.npz  data/test.npz    images, labels, class_names
    data/photos.npz                                       images, targets
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fmx_runtime import labeled_images
from fmx_runtime.errors import DataError
from fmx_runtime.support.atomic import make_folder, replacing
from fmx_runtime.support.error_summary import error_summary
from fmx_training.data.dataset import Dataset, Splits
from fmx_training.data.splits import SPLITS
from fmx_training.data.training_examples import Examples

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_photos", "read_splits", "save_photos", "save_splits"]


def save_splits(folder: Path, splits: Splits) -> None:
    """Write all splits into a run's folder.

    Raises:
        OutputError: they cannot be written.
    """
    make_folder(folder / "data")
    for split in SPLITS:
        dataset: Dataset = getattr(splits, split)
        images = labeled_images.LabeledImages(
            dataset.name, dataset.images, dataset.labels, dataset.class_names
        )
        with replacing(folder / "data" / f"{split}.npz") as temporary:
            labeled_images.save(images, temporary)


def read_splits(folder: Path) -> Splits | None:
    """Return the splits that a run saved, or None if it saved none.

    Raises:
        DataError: a file is missing or damaged.
    """
    if not (folder / "data" / "train.npz").exists():
        return None
    read = [labeled_images.read(folder / "data" / f"{split}.npz") for split in SPLITS]
    return Splits(*(Dataset(r.name, np.asarray(r.images), r.labels, r.class_names) for r in read))


def save_photos(folder: Path, examples: Examples) -> None:
    """Write photos into a run's folder.

    Raises:
        OutputError: they cannot be written.
    """
    make_folder(folder / "data")
    with replacing(folder / "data" / "photos.npz") as temporary:
        np.savez_compressed(temporary, images=examples.images, targets=examples.targets)


def read_photos(folder: Path, class_names: tuple[str, ...]) -> Examples | None:
    """Return the photos that a run saved, or None if it saved none.

    Raises:
        DataError: the file is damaged.
    """
    path = folder / "data" / "photos.npz"
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Examples("photos", arrays["images"], arrays["targets"], class_names)
    # NumPy and zipfile raise ValueError, KeyError, BadZipFile, zlib.error and others
    except Exception as error:
        raise DataError(
            f"'{path}' is damaged ({error_summary(error)}); start a new run in another folder"
        ) from error
