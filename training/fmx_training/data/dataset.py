"""A data set in memory: images of one size with their labels, and its splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fmx_runtime.errors import DataError
from fmx_runtime.labeled_images.digest import arrays_digest
from fmx_runtime.labeled_images.sampling import balanced_sample, proportional_sample

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Dataset", "Splits"]

_IMAGE_AXES = 4


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images of one size with their labels, at least one image. The arrays are read-only.

    Attributes:
        name: name in messages and reports, such as "fashion-mnist train".
        images: uint8 array ``(n, h, w, c)``, values 0 to 255.
        labels: int64 array ``(n,)``, values 0 to ``len(class_names) - 1``.
        class_names: distinct names of the classes, in the order of the labels.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the arrays and the class names, and make the arrays read-only.

        Raises:
            DataError: a shape, a dtype, a label or the class names are invalid.
        """
        _check_images(self.name, self.images)
        _check_labels(self.name, self.labels, len(self.images), self.class_names)
        for field in ("images", "labels"):
            view = getattr(self, field).view()
            view.flags.writeable = False
            object.__setattr__(self, field, view)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def class_counts(self) -> dict[str, int]:
        """Return the number of images of each class, in the order of the labels."""
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        return dict(zip(self.class_names, counts.tolist(), strict=True))

    def digest(self) -> str:
        """Return the SHA-256 (hex) of images and labels: their dtypes, shapes and values."""
        return arrays_digest(self.images, self.labels)

    def take(self, indices: ArrayLike, name: str) -> Dataset:
        """Return the images at ``indices``, in that order, as a data set.

        Args:
            indices: integers ``(m,)``, m >= 1, values 0 to ``len(self) - 1``.
            name: the new data set's name.

        Raises:
            DataError: there are no indices, or an index is out of range or not an integer.
        """
        chosen = np.asarray(indices)
        if chosen.ndim != 1 or not chosen.size or not np.issubdtype(chosen.dtype, np.integer):
            raise DataError(
                f"{name}: indices must be a one-dimensional array of at least one integer. "
                f"Received: {chosen.dtype} {chosen.shape}"
            )
        if chosen.min() < 0 or chosen.max() >= len(self):
            raise DataError(
                f"{name}: indices go from {chosen.min()} to {chosen.max()}; "
                f"{self.name} has images 0 to {len(self) - 1}"
            )
        return Dataset(name, self.images[chosen], self.labels[chosen], self.class_names)

    def balanced_sample(self, size: int, seed: int) -> Dataset:
        """Return a random sample with the same number of images of each class, if possible.

        The classes take turns, so the first images of the sample are a balanced sample too. A
        class that has no more images leaves its turns to the others.

        Args:
            size: number of images, 1 to ``len(self)``.
            seed: 0 or more. A seed chooses the same images on every machine.

        Raises:
            DataError: ``size`` or ``seed`` is out of range.
        """
        if not 1 <= size <= len(self):
            raise DataError(
                f"{self.name}: a sample must have 1 to {len(self)} images. Received: {size}"
            )
        chosen = balanced_sample(self.labels, size, seed)
        return self.take(chosen, f"{self.name}, balanced sample of {size} (seed {seed})")

    def split(self, held_out: int, seed: int) -> tuple[Dataset, Dataset]:
        """Split the images in two, each class in proportion. Both parts keep the images' order.

        Args:
            held_out: number of images in the second part, 1 to ``len(self) - 1``.
            seed: 0 or more. A seed chooses the same images on every machine.

        Returns:
            The remaining images, and the held-out images: of each class its share of
            ``held_out``, rounded down or up.

        Raises:
            DataError: ``held_out`` or ``seed`` is out of range.
        """
        if not 1 <= held_out < len(self):
            raise DataError(
                f"{self.name}: 1 to {len(self) - 1} of {len(self)} images can be held out. "
                f"Received: {held_out}"
            )
        held = proportional_sample(self.labels, held_out, seed)
        return (
            self.take(np.flatnonzero(~held), f"{self.name}, without {held_out} held out"),
            self.take(np.flatnonzero(held), f"{self.name}, {held_out} held out"),
        )


@dataclass(frozen=True)
class Splits:
    """The data sets of a training run. No image is in two of them.

    Attributes:
        train: the network learns from these images.
        validation: networks, epochs and exports are chosen by these images.
        test: the finished network is measured once on these images.
    """

    train: Dataset
    validation: Dataset
    test: Dataset


def _check_images(name: str, images: NDArray[np.uint8]) -> None:
    if images.dtype != np.uint8 or images.ndim != _IMAGE_AXES or 0 in images.shape:
        raise DataError(
            f"{name}: images must be a uint8 array (n, h, w, c) with at least one image. "
            f"Received: {images.dtype} {images.shape}"
        )


def _check_labels(
    name: str, labels: NDArray[np.int64], images: int, class_names: tuple[str, ...]
) -> None:
    if not class_names or len(set(class_names)) < len(class_names):
        raise DataError(
            f"{name}: class names must be distinct, at least one. Received: {class_names}"
        )
    if labels.dtype != np.int64 or labels.shape != (images,):
        raise DataError(
            f"{name}: labels must be an int64 array ({images},), one per image. "
            f"Received: {labels.dtype} {labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise DataError(
            f"{name}: labels go from {labels.min()} to {labels.max()}; "
            f"{len(class_names)} class names allow 0 to {len(class_names) - 1}"
        )
