"""Training examples: images with soft targets.

A target is a probability distribution over the classes. So an image may belong to one of three
kinds of shoes, and the soft targets of a distillation have the same form as labels.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fmx_training.data.dataset import Dataset

__all__ = ["Examples", "concatenate", "from_dataset", "from_unbalanced_dataset"]


@dataclass(frozen=True, eq=False)
class Examples:
    """Images of one size with their targets, at least one.

    Attributes:
        name: name in messages and reports.
        images: uint8 array ``(n, h, w, c)``, values 0 to 255.
        targets: float32 array ``(n, classes)``; each row is a distribution: 0 or more, sum 1.
        class_names: the classes' names, in the order of the columns.
        weights: float32 array ``(n,)``, each example's weight in the loss; None for 1.
    """

    name: str
    images: NDArray[np.uint8]
    targets: NDArray[np.float32]
    class_names: tuple[str, ...]
    weights: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 (hex) of the images' and targets' shapes and values."""
        sha256 = hashlib.sha256()
        for array in (self.images, self.targets.astype("<f4")):
            sha256.update(str(array.shape).encode())
            sha256.update(np.ascontiguousarray(array).data)
        return sha256.hexdigest()


def from_dataset(dataset: Dataset) -> Examples:
    """Return a data set's images with their labels as one-hot targets."""
    one_hot = np.eye(len(dataset.class_names), dtype=np.float32)
    return Examples(dataset.name, dataset.images, one_hot[dataset.labels], dataset.class_names)


def from_unbalanced_dataset(dataset: Dataset) -> Examples:
    """Return a data set's images with a larger weight for those of rarer classes.

    The weight grows with the square root of the rarity. That lies between equal weights of all
    images, which neglect rare classes, and equal weights of all classes, which overfit to the few
    images of rare ones. The mean weight is 1.
    """
    counts = np.bincount(dataset.labels, minlength=len(dataset.class_names))
    weights = np.sqrt(len(dataset) / counts)[dataset.labels]
    return replace(from_dataset(dataset), weights=(weights / weights.mean()).astype(np.float32))


def concatenate(parts: Sequence[Examples]) -> Examples:
    """Return the examples of several sets as one, in their order, without weights.

    Args:
        parts: one or more, of one image size and of the same classes.
    """
    return Examples(
        " and ".join(part.name for part in parts),
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.targets for part in parts]),
        parts[0].class_names,
    )
