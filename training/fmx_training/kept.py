"""Pictures that a run keeps in its folder, so that going on, exporting and measuring find them.

Fashion-MNIST is found anywhere, a user's pictures may move or change: a run on those keeps them, at
the network's size::

    data/train.npz  data/validation.npz  data/test.npz    images, labels, class_names
    data/photographs.npz                                  images, targets
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fmx_runtime.atomic import make_folder, replacing
from fmx_runtime.bench import labelled
from fmx_runtime.errors import DataError
from fmx_runtime.reason import reason
from fmx_training.dataset import Dataset, Splits
from fmx_training.examples import Examples

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["keep_photographs", "keep_splits", "photographs", "splits"]

_PARTS = ("train", "validation", "test")


def keep_splits(folder: Path, splits: Splits) -> None:
    """Write all three parts below a run's folder.

    Raises:
        OutputError: they cannot be written.
    """
    make_folder(folder / "data")
    for part in _PARTS:
        dataset: Dataset = getattr(splits, part)
        pictures = labelled.Labelled(
            dataset.name, dataset.images, dataset.labels, dataset.class_names
        )
        with replacing(folder / "data" / f"{part}.npz") as temporary:
            labelled.save(pictures, temporary)


def splits(folder: Path) -> Splits | None:
    """All three parts, None where a run kept none.

    Raises:
        DataError: a file is missing or damaged.
    """
    if not (folder / "data" / "train.npz").exists():
        return None
    read = [labelled.read(folder / "data" / f"{part}.npz") for part in _PARTS]
    return Splits(*(Dataset(r.name, np.asarray(r.pictures), r.labels, r.class_names) for r in read))


def keep_photographs(folder: Path, examples: Examples) -> None:
    """Write photographs below a run's folder.

    Raises:
        OutputError: they cannot be written.
    """
    make_folder(folder / "data")
    with replacing(folder / "data" / "photographs.npz") as temporary:
        np.savez_compressed(temporary, images=examples.images, targets=examples.targets)


def photographs(folder: Path, class_names: tuple[str, ...]) -> Examples | None:
    """The photographs, None where a run kept none.

    Raises:
        DataError: the file is damaged.
    """
    path = folder / "data" / "photographs.npz"
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Examples("photographs", arrays["images"], arrays["targets"], class_names)
    # NumPy and zipfile raise ValueError, KeyError, BadZipFile, zlib.error and others
    except Exception as error:
        raise DataError(
            f"'{path}' is damaged ({reason(error)}); begin the run anew in another folder"
        ) from error
