"""Images that a run keeps in its folder, so that going on, exporting and measuring find them.

Fashion-MNIST is found anywhere, a user's images may move or change: a run on those keeps them, at
the network's size::

    data/train.npz  data/validation.npz  data/test.npz    images, labels, class_names
    data/photos.npz                                  images, targets
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fmx_runtime import labeled_images
from fmx_runtime.errors import DataError
from fmx_runtime.support.atomic import make_folder, replacing
from fmx_runtime.support.error_summary import error_summary
from fmx_training.data.dataset import Dataset, Splits
from fmx_training.data.examples import Examples

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["photos", "save_photos", "save_splits", "splits"]

_PARTS = ("train", "validation", "test")


def save_splits(folder: Path, splits: Splits) -> None:
    """Write all three parts below a run's folder.

    Raises:
        OutputError: they cannot be written.
    """
    make_folder(folder / "data")
    for part in _PARTS:
        dataset: Dataset = getattr(splits, part)
        images = labeled_images.LabeledImages(
            dataset.name, dataset.images, dataset.labels, dataset.class_names
        )
        with replacing(folder / "data" / f"{part}.npz") as temporary:
            labeled_images.save(images, temporary)


def splits(folder: Path) -> Splits | None:
    """All three parts, None where a run kept none.

    Raises:
        DataError: a file is missing or damaged.
    """
    if not (folder / "data" / "train.npz").exists():
        return None
    read = [labeled_images.read(folder / "data" / f"{part}.npz") for part in _PARTS]
    return Splits(*(Dataset(r.name, np.asarray(r.images), r.labels, r.class_names) for r in read))


def save_photos(folder: Path, examples: Examples) -> None:
    """Write photos below a run's folder.

    Raises:
        OutputError: they cannot be written.
    """
    make_folder(folder / "data")
    with replacing(folder / "data" / "photos.npz") as temporary:
        np.savez_compressed(temporary, images=examples.images, targets=examples.targets)


def photos(folder: Path, class_names: tuple[str, ...]) -> Examples | None:
    """The photos, None where a run kept none.

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
            f"'{path}' is damaged ({error_summary(error)}); begin the run anew in another folder"
        ) from error
