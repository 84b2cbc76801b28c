"""Smoothing: neighboring pixels of similar color adjust their beliefs to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import as_strided

from fmx_runtime.images.segmentation.pixel_grid import channel_planes, neighbor_slices

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["MAX_BELIEF", "neighbor_similarity", "smooth"]

MAX_BELIEF = 64
"""The belief that a pixel is garment goes from 0 (background) to this (garment)."""

_STEPS = 6
_MIN_MEAN_SQUARE = 16  # of the color difference of neighbors, for images without any noise
_INT16_BYTES = 2


def neighbor_similarity(image: Image.Image) -> NDArray[np.int16]:
    """Return how similar in color each pixel and its eight neighbors are.

    Returns:
        int16 ``(3, 3, h * w)``, by the neighbor's offset: 64 for equal colors, a third of that for
        the mean squared difference in this image, and 0 for the pixel itself and beyond the border.
    """
    colors = channel_planes(image)
    offsets = ((0, 1), (1, 0), (1, 1), (1, -1))  # the other four are the same pairs, reversed
    pairs = [neighbor_slices(*offset) for offset in offsets]
    squares = [((colors[one] - colors[other]) ** 2).sum(0) for one, other in pairs]
    total, count = sum(int(square.sum()) for square in squares), sum(s.size for s in squares)
    mean_square = max(_MIN_MEAN_SQUARE, total // max(1, count))
    similarity = np.zeros((3, 3, *colors.shape[1:]), np.int16)
    for (down, right), (one, other), square in zip(offsets, pairs, squares, strict=True):
        similar = MAX_BELIEF * mean_square // (mean_square + 2 * square)
        similarity[1 + down, 1 + right][one] = similar
        similarity[1 - down, 1 - right][other] = similar
    return similarity.reshape(3, 3, -1)


def smooth(evidence: NDArray[np.int32], similarity: NDArray[np.int16]) -> NDArray[np.int32]:
    """Return the belief, 0 to 64, after some steps of exchange between neighbors.

    In each step, the lean of a pixel (its belief less 32) is half of its own evidence and of the
    leans of its neighbors, weighted by their similarity.
    """
    # int16 is faster, and holds eight times 64 * 32
    own_evidence = evidence.ravel().astype(np.int16)
    width, max_lean = evidence.shape[1], np.int16(MAX_BELIEF // 2)
    padded_lean = np.zeros(len(own_evidence) + 2 * (width + 1), np.int16)
    lean = padded_lean[width + 1 : -width - 1]
    # a view: neighbor_leans[i, j, n] is the lean of pixel n's neighbor at offset (i - 1, j - 1)
    neighbor_leans = as_strided(
        padded_lean, similarity.shape, (_INT16_BYTES * width, _INT16_BYTES, _INT16_BYTES)
    )
    (own_evidence >> 1).clip(-max_lean, max_lean, out=lean)
    for _ in range(_STEPS):
        received = (similarity * neighbor_leans).reshape(9, -1).sum(0, np.int16)
        (own_evidence + (received >> 5) >> 1).clip(-max_lean, max_lean, out=lean)
    return lean.reshape(evidence.shape) + np.int32(max_lean)
