"""Labeled images in memory: checked once, sampled and split by seed.

The orders drawn here come from the raw output of a bit generator, which NumPy promises never to
change; so a seed means the same images on every machine and every NumPy version.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Dataset", "Splits"]

_IMAGE_AXES = 4


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images of one size with their labels, at least one; the arrays are read-only.

    Attributes:
        name: what error messages and reports call it, such as "fashion-mnist train".
        images: uint8 array ``(n, h, w, c)``, values 0 to 255.
        labels: int64 array ``(n,)``, values 0 to ``len(class_names) - 1``.
        class_names: the classes' names in the order of their labels, no two alike.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check what no later code checks again.

        Raises:
            DataError: a shape, a dtype, a length, a label or the class names are not as stated.
        """
        _check_images(self.name, self.images)
        _check_labels(self.name, self.labels, len(self.images), self.class_names)
        for field in ("images", "labels"):
            view = getattr(self, field).view()
            view.flags.writeable = False
            object.__setattr__(self, field, view)

    def __len__(self) -> int:
        """How many images."""
        return len(self.images)

    def class_counts(self) -> dict[str, int]:
        """How many images each class has, in the order of the labels."""
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        return dict(zip(self.class_names, counts.tolist(), strict=True))

    def digest(self) -> str:
        """SHA-256 (hex) of both arrays' dtypes, shapes and values, whatever the data set's name."""
        sha256 = hashlib.sha256()
        for array in (self.images, self.labels):
            little_endian = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
            sha256.update(f"{little_endian.dtype.str}{array.shape}".encode())
            sha256.update(little_endian.data)
        return sha256.hexdigest()

    def take(self, indices: ArrayLike, name: str) -> Dataset:
        """The images at ``indices``, in that order, as a data set of its own.

        Args:
            indices: integers ``(m,)``, m >= 1, values 0 to ``len(self) - 1``.
            name: the new data set's name.

        Raises:
            DataError: there are no indices, or one is out of range or not an integer.
        """
        chosen = np.asarray(indices)
        if chosen.ndim != 1 or not chosen.size or not np.issubdtype(chosen.dtype, np.integer):
            raise DataError(
                f"{name}: takes images by at least one integer index in one dimension; "
                f"received {chosen.dtype} {chosen.shape}"
            )
        if chosen.min() < 0 or chosen.max() >= len(self):
            raise DataError(
                f"{name}: indices go from {chosen.min()} to {chosen.max()}; "
                f"{self.name} has images 0 to {len(self) - 1}"
            )
        return Dataset(name, self.images[chosen], self.labels[chosen], self.class_names)

    def balanced_sample(self, size: int, seed: int) -> Dataset:
        """``size`` different images, with as equal a number of each class as there can be.

        The classes take turns, so the first images of the sample are a balanced sample too. A
        class that runs out leaves its turns to the others.

        Args:
            size: how many, 1 to ``len(self)``.
            seed: what chooses them, 0 or more.

        Raises:
            DataError: ``size`` or ``seed`` is out of range.
        """
        if not 1 <= size <= len(self):
            raise DataError(f"{self.name}: a sample takes 1 to {len(self)} images; received {size}")
        order = _shuffled(len(self), seed)
        turns = _rank_in_class(self.labels[order])
        chosen = order[np.argsort(turns, kind="stable")[:size]]
        return self.take(chosen, f"{self.name}, balanced sample of {size} (seed {seed})")

    def split(self, held_out: int, seed: int) -> tuple[Dataset, Dataset]:
        """Cut in two, each class in proportion; both parts keep the images' order.

        Args:
            held_out: how many images the second part has, 1 to ``len(self) - 1``.
            seed: what chooses them, 0 or more.

        Returns:
            The rest, and the images held out: of each class its share of ``held_out``, rounded
            down or up.

        Raises:
            DataError: ``held_out`` or ``seed`` is out of range.
        """
        if not 1 <= held_out < len(self):
            raise DataError(
                f"{self.name}: 1 to {len(self) - 1} of its {len(self)} images can be held out; "
                f"received {held_out}"
            )
        order = _shuffled(len(self), seed)
        labels = self.labels[order]
        quotas = _proportional(np.bincount(labels, minlength=len(self.class_names)), held_out)
        held = np.zeros(len(self), dtype=np.bool_)
        held[order] = _rank_in_class(labels) < quotas[labels]
        return (
            self.take(np.flatnonzero(~held), f"{self.name}, without {held_out} held out"),
            self.take(np.flatnonzero(held), f"{self.name}, {held_out} held out"),
        )


@dataclass(frozen=True)
class Splits:
    """What a training run needs, disjoint.

    Attributes:
        train: what the network learns from.
        validation: what chooses between networks and gates their exports.
        test: what is measured once, at the end.
    """

    train: Dataset
    validation: Dataset
    test: Dataset


def _check_images(name: str, images: NDArray[np.uint8]) -> None:
    if images.dtype != np.uint8 or images.ndim != _IMAGE_AXES or 0 in images.shape:
        raise DataError(
            f"{name}: images are a uint8 array (n, h, w, c) with at least one image; "
            f"received {images.dtype} {images.shape}"
        )


def _check_labels(
    name: str, labels: NDArray[np.int64], images: int, class_names: tuple[str, ...]
) -> None:
    if not class_names or len(set(class_names)) < len(class_names):
        raise DataError(f"{name}: class names are one or more, no two alike; got {class_names}")
    if labels.dtype != np.int64 or labels.shape != (images,):
        raise DataError(
            f"{name}: labels are an int64 array ({images},), one per image; "
            f"received {labels.dtype} {labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise DataError(
            f"{name}: labels go from {labels.min()} to {labels.max()}; "
            f"{len(class_names)} class names allow 0 to {len(class_names) - 1}"
        )


def _shuffled(count: int, seed: int) -> NDArray[np.int64]:
    """0 to ``count - 1`` in the order of ``seed``."""
    if seed < 0:
        raise DataError(f"a seed is 0 or more; received {seed}")
    keys = np.asarray(np.random.PCG64(seed).random_raw(count))
    return np.argsort(keys, kind="stable").astype(np.int64)


def _rank_in_class(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each position, how many earlier ones have the same label."""
    by_class = np.argsort(labels, kind="stable")
    starts = np.cumsum(np.bincount(labels)) - np.bincount(labels)
    ranks = np.empty(len(labels), dtype=np.int64)
    ranks[by_class] = np.arange(len(labels)) - starts[labels[by_class]]
    return ranks


def _proportional(counts: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """``total`` shared out in proportion to ``counts``: largest remainders are rounded up."""
    quotas, remainders = np.divmod(counts * total, counts.sum())
    lucky = np.argsort(-remainders, kind="stable")[: total - quotas.sum()]
    quotas[lucky] += 1
    return quotas
