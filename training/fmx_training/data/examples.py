"""What a network learns from: images, and for each the answer that is wanted.

An answer is a distribution over the classes, so that an image which shows one of three kinds of
shoes can say just that, and so that teachers' answers can stand beside labels.
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

__all__ = ["Examples", "joined", "of_dataset", "of_unequal_classes"]


@dataclass(frozen=True, eq=False)
class Examples:
    """Images of one size with the answers wanted, at least one.

    Attributes:
        name: what error messages and reports call them.
        images: uint8 array ``(n, h, w, c)``, values 0 to 255.
        targets: float32 array ``(n, classes)``, each row a distribution: 0 or more, sum 1.
        class_names: the classes' names in the order of the columns.
        weights: float32 array ``(n,)``, what each counts in the loss; None for 1.
    """

    name: str
    images: NDArray[np.uint8]
    targets: NDArray[np.float32]
    class_names: tuple[str, ...]
    weights: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """How many images."""
        return len(self.images)

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 (hex) of images' and targets' shapes and values, whatever the name."""
        sha256 = hashlib.sha256()
        for array in (self.images, self.targets.astype("<f4")):
            sha256.update(str(array.shape).encode())
            sha256.update(np.ascontiguousarray(array).data)
        return sha256.hexdigest()


def of_dataset(dataset: Dataset) -> Examples:
    """A data set's images, each with all of the answer on its label."""
    one_hot = np.eye(len(dataset.class_names), dtype=np.float32)
    return Examples(dataset.name, dataset.images, one_hot[dataset.labels], dataset.class_names)


def of_unequal_classes(dataset: Dataset) -> Examples:
    """The same of a data set whose rarer classes count more.

    By the square root of how much rarer they are: in between counting each image alike, which
    neglects rare classes, and each class alike, which learns few images by heart.
    """
    counts = np.bincount(dataset.labels, minlength=len(dataset.class_names))
    each = np.sqrt(len(dataset) / counts)[dataset.labels]
    return replace(of_dataset(dataset), weights=(each / each.mean()).astype(np.float32))


def joined(parts: Sequence[Examples]) -> Examples:
    """Several together, in their order.

    Args:
        parts: one or more, of one size and of the same classes.
    """
    return Examples(
        " and ".join(part.name for part in parts),
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.targets for part in parts]),
        parts[0].class_names,
    )
