"""The border distance: the color steps on the smoothest path from the border to each pixel.

Background is reached without a step, a garment only across its edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fmx_runtime.images.segmentation.pixel_grid import border_mask, neighbor_slices
from fmx_runtime.images.segmentation.smoothing import MAX_BELIEF

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    UInt8Array = NDArray[np.uint8]
    IntArray = NDArray[np.int32]

__all__ = ["distance_evidence"]

_MAX_EVIDENCE = 40

# Costs of paths, in levels of a color channel
_SHADE_STEP = 6  # smaller steps between neighbors are shades, not edges
_START_COST = 24  # of a path that starts at a border pixel, for each unit of belief ...
_FREE_BELIEF = 8  # ... above this one
_UNREACHABLE = 1 << 20
_MIN_TYPICAL_DISTANCE = 8

# Relaxation ends after so many rounds, if not before
_MAX_ROUNDS = 20
_SWEEPS_PER_ROUND = 4


def distance_evidence(image: Image.Image, garment: IntArray) -> IntArray:
    """Return evidence from the smoothest path from the border to each pixel: ``(h, w)``.

    Args:
        image: mode RGB; the working copy of the photo.
        garment: the current belief; paths that start where it is high are expensive.
    """
    distance = _border_distance(image, garment)
    whole = distance.repeat(2, 0).repeat(2, 1)[: garment.shape[0], : garment.shape[1]]
    within = np.sort(whole[2 * garment > MAX_BELIEF])
    median = int(within[len(within) // 2]) if len(within) else 0
    typical = max(_MIN_TYPICAL_DISTANCE, median)
    evidence: IntArray = np.clip(
        whole * 2 * _MAX_EVIDENCE // typical - _MAX_EVIDENCE,
        -_MAX_EVIDENCE,
        _MAX_EVIDENCE,
    )
    return evidence


def _border_distance(image: Image.Image, garment: IntArray) -> IntArray:
    """Return the cost of the cheapest path from the border to every other pixel, row and column.

    A step to one of four neighbors costs their largest difference in a channel, less
    `_SHADE_STEP`. The costs are found by relaxation (Bellman and Ford), all pixels at once.
    """
    colors = _median_filtered_half(np.asarray(image.convert("YCbCr"))).astype(np.int32)
    shape = colors.shape[1:]
    start_cost = np.maximum(0, garment[::2, ::2] - _FREE_BELIEF) * _START_COST
    cost = np.where(border_mask(shape, 1), start_cost, _UNREACHABLE).astype(np.int32).ravel()
    steps = []
    for offset, stride in (((1, 0), shape[1]), ((0, 1), 1)):
        one, other = neighbor_slices(*offset)
        step_cost = np.full(shape, _UNREACHABLE, np.int32)  # no step from row end to next row
        step_cost[one] = np.maximum(0, np.abs(colors[one] - colors[other]).max(0) - _SHADE_STEP)
        first, second = cost[:-stride], cost[stride:]  # views: a pixel and its neighbor
        flat_step_cost = step_cost.ravel()[:-stride]
        steps += [(first, flat_step_cost, second), (second, flat_step_cost, first)]
    for _ in range(_MAX_ROUNDS):
        before = cost.copy()
        for source, step, target in steps * _SWEEPS_PER_ROUND:
            np.minimum(target, source + step, out=target)
        if np.array_equal(cost, before):
            break
    return cost.reshape(shape)


def _median_filtered_half(pixels: UInt8Array) -> UInt8Array:
    """Return the median of 3x3 pixels around every other pixel, row and column.

    Args:
        pixels: uint8 ``(h, w, channels)``.

    Returns:
        uint8 ``(channels, ceil(h / 2), ceil(w / 2))``.
    """
    height, width = pixels.shape[:2]
    padded = pixels.transpose(2, 0, 1)
    for axis, side in ((1, height), (2, width)):
        padded = padded.take(range(-1, side + 1), axis, mode="clip")
    rows = _sort_three(*(padded[:, top : top + height : 2] for top in range(3)))
    ranks = [
        _sort_three(*(row[:, :, left : left + width : 2] for left in range(3))) for row in rows
    ]
    # the median of nine is the middle of: the greatest least, the middle middle, the least greatest
    return _sort_three(ranks[0][2], ranks[1][1], ranks[2][0])[1]


def _sort_three(a: UInt8Array, b: UInt8Array, c: UInt8Array) -> list[UInt8Array]:
    """Return the least, the middle and the greatest of three arrays, element by element."""
    low, high = np.minimum(a, b), np.maximum(a, b)
    return [np.minimum(low, c), np.maximum(low, np.minimum(high, c)), np.maximum(high, c)]
