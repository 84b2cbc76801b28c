"""Read and verify the four files, and split the images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fmx_training.data.dataset import Dataset, Splits
from fmx_training.data.fashion_mnist.idx import read_idx
from fmx_training.data.fashion_mnist.locate import find
from fmx_training.data.fashion_mnist.published_files import CLASS_NAMES, FILES, NAME

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_training.data.fashion_mnist.locate import Found

__all__ = ["Description", "FileFacts", "describe", "load", "read"]

_VALIDATION_SIZE = 5_000
_VALIDATION_SEED = 0  # the same split for all trainings, whatever their seeds


@dataclass(frozen=True)
class FileFacts:
    """A verified file.

    Attributes:
        path: the file.
        size_bytes: its size, packed or not.
        sha256: SHA-256 (hex) of its unpacked content.
    """

    path: Path
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Description:
    """The data set on this machine.

    Attributes:
        folder: the folder of the files.
        how: why this folder was chosen.
        files: the four files.
        train_counts: number of training images of each class, validation images included.
        test_counts: number of test images of each class.
    """

    folder: Path
    how: str
    files: tuple[FileFacts, ...]
    train_counts: dict[str, int]
    test_counts: dict[str, int]


def load(data_dir: Path | None = None) -> Splits:
    """Find or download the files, and read them; see `find` and `read`."""
    return read(find(data_dir))


def read(found: Found) -> Splits:
    """Read and verify all four files.

    Returns:
        55,000, 5,000 and 10,000 images, uint8 ``(n, 28, 28, 1)``, light on dark. The validation
        images are 500 of each class out of the 60,000 training images, always the same ones.

    Raises:
        DataError: a file is truncated or altered, or cannot be read.
    """
    training, test = _read_files(found.folder)
    train, validation = training.split(_VALIDATION_SIZE, _VALIDATION_SEED)
    return Splits(
        replace(train, name=f"{NAME} train"),
        replace(validation, name=f"{NAME} validation"),
        test,
    )


def describe(found: Found) -> Description:
    """Read and verify all four files, and describe them.

    Raises:
        DataError: a file is truncated or altered, or cannot be read.
    """
    training, test = _read_files(found.folder)
    paths = [file.in_folder(found.folder) for file in FILES]
    files = tuple(
        FileFacts(path, path.stat().st_size, file.sha256)
        for path, file in zip(paths, FILES, strict=True)
    )
    return Description(found.folder, found.how, files, training.class_counts(), test.class_counts())


def _read_files(folder: Path) -> tuple[Dataset, Dataset]:
    """Return all training images, and the test images."""
    arrays = [read_idx(file, file.in_folder(folder)) for file in FILES]
    parts = zip(("train", "test"), arrays[::2], arrays[1::2], strict=True)
    training, test = (
        Dataset(f"{NAME} {part}", images[..., np.newaxis], labels.astype(np.int64), CLASS_NAMES)
        for part, images, labels in parts
    )
    return training, test
