"""Images in a model's input size, and their division into calibration and validation images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fmx_runtime.errors import DataError
from fmx_runtime.labeled_images.digest import arrays_digest
from fmx_runtime.labeled_images.sampling import balanced_sample, proportional_sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ImageArray", "hold_out", "sample"]


@dataclass(frozen=True, eq=False)
class ImageArray:
    """Images in a model's input size, at least one.

    Attributes:
        name: name in messages and in the model metadata.
        images: uint8 ``(n, height, width, channels)``.
        labels: int64 ``(n,)``; None where the images have no labels.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def digest(self) -> str:
        """Return the SHA-256 (hex) of the images, and of their labels if they have some."""
        if self.labels is not None:
            return arrays_digest(self.images, self.labels)
        shape = str(self.images.shape).encode()
        return hashlib.sha256(shape + np.ascontiguousarray(self.images).tobytes()).hexdigest()

    def take(self, indices: NDArray[np.int64], name: str) -> ImageArray:
        """Return the images at ``indices``, in that order."""
        labels = None if self.labels is None else self.labels[indices]
        return ImageArray(name, self.images[indices], labels)


def hold_out(images: ImageArray, size: int, seed: int) -> tuple[ImageArray, ImageArray]:
    """Divide images into calibration and validation images, each class in proportion.

    Args:
        images: two or more.
        size: the most images to calibrate with; at most one half is taken.
        seed: 0 or more.

    Returns:
        Calibration images and validation images, at least one of each.

    Raises:
        DataError: there is only one image.
    """
    total = len(images)
    if total < 2:  # noqa: PLR2004
        raise DataError(
            f"{images.name}: one image only; at least two are needed, "
            "one to calibrate with and one to check the result"
        )
    count = total - min(size, total // 2)
    held = proportional_sample(_labels(images), count, seed)
    return (
        images.take(np.flatnonzero(~held), f"{images.name}, without {count} held out"),
        images.take(np.flatnonzero(held), f"{images.name}, {count} held out"),
    )


def sample(images: ImageArray, size: int, seed: int) -> ImageArray:
    """Return at most ``size`` images, as many of each class as possible alike."""
    count = min(size, len(images))
    chosen = balanced_sample(_labels(images), count, seed)
    return images.take(chosen, f"{images.name}, balanced sample of {count} (seed {seed})")


def _labels(images: ImageArray) -> NDArray[np.int64]:
    """Return the labels; images without labels count as one class."""
    return np.zeros(len(images), np.int64) if images.labels is None else images.labels
