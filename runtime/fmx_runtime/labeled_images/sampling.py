"""Draw random samples of labeled images, stratified by class.

The order comes from the raw output of a bit generator, which NumPy promises never to change. So a
seed chooses the same images on every machine and with every version of NumPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["balanced_sample", "proportional_sample", "random_bytes"]


def balanced_sample(labels: NDArray[np.int64], size: int, seed: int) -> NDArray[np.int64]:
    """Draw without replacement, with the same number of images of each class if possible.

    The classes take turns, so the first images of the sample are a balanced sample too. A class
    that has no more images leaves its turns to the others.

    Args:
        labels: int64 ``(n,)``, class numbers from 0 on.
        size: number of images to choose, 1 to n.
        seed: 0 or more.

    Returns:
        Indices, int64 ``(size,)``, in the order of the sample.
    """
    order = _shuffled(len(labels), seed)
    turns = _rank_in_class(labels[order])
    return order[np.argsort(turns, kind="stable")[:size]]


def proportional_sample(labels: NDArray[np.int64], size: int, seed: int) -> NDArray[np.bool_]:
    """Draw without replacement, each class in proportion, rounded down or up.

    Args:
        labels: int64 ``(n,)``, class numbers from 0 on.
        size: number of images to choose, 1 to n.
        seed: 0 or more.

    Returns:
        bool ``(n,)``, true for the images that are chosen.
    """
    order = _shuffled(len(labels), seed)
    shuffled = labels[order]
    quotas = _proportional(np.bincount(shuffled), size)
    chosen = np.zeros(len(labels), dtype=np.bool_)
    chosen[order] = _rank_in_class(shuffled) < quotas[shuffled]
    return chosen


def random_bytes(count: int, seed: int) -> NDArray[np.uint8]:
    """Return ``count`` random bytes: uint8 ``(count,)``."""
    words = np.random.PCG64(seed).random_raw(-(-count // 8))
    return np.asarray(words).astype("<u8").view(np.uint8)[:count]


def _shuffled(count: int, seed: int) -> NDArray[np.int64]:
    """Return 0 to ``count - 1`` in random order."""
    if seed < 0:
        raise DataError(f"a seed must be 0 or more. Received: {seed}")
    keys = np.asarray(np.random.PCG64(seed).random_raw(count))
    return np.argsort(keys, kind="stable").astype(np.int64)


def _rank_in_class(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each position how many earlier ones have the same label."""
    by_class = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    starts = np.cumsum(counts) - counts
    ranks = np.empty(len(labels), dtype=np.int64)
    ranks[by_class] = np.arange(len(labels)) - starts[labels[by_class]]
    return ranks


def _proportional(counts: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Divide ``total`` in proportion to ``counts``; the largest remainders are rounded up."""
    quotas, remainders = np.divmod(counts * total, counts.sum())
    rounded_up = np.argsort(-remainders, kind="stable")[: total - quotas.sum()]
    quotas[rounded_up] += 1
    return quotas
