"""Clean a mask up: remove threads and small parts, and fill small holes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fmx_runtime.images.segmentation.pixel_grid import border_mask, distance_from_center

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

__all__ = ["clean_mask", "label_components"]

_CENTER_WEIGHT = 65  # of a pixel in the center; it falls to 1 in the corners
_MIN_PART = 5  # parts of less than 1/5 of the largest part's weight are removed
_MAX_HOLE = 8  # holes of less than 1/8 of the mask's area are filled


def clean_mask(mask: Mask) -> Mask:
    """Return a mask without threads, without small parts, and without small holes.

    1. A morphological opening with a square of 3x3 pixels removes hooks and threads.
    2. Connected parts are weighted by their pixels, more so in the center; light ones are removed.
    3. Small holes that do not touch the border are filled.

    Args:
        mask: bool ``(h, w)``.
    """
    mask = _dilate(~_dilate(~mask))
    parts = label_components(mask)
    weights = _CENTER_WEIGHT - distance_from_center(mask.shape) // 2
    part_weights = np.bincount(parts.ravel(), weights.ravel())
    part_weights[0] = 0  # the background
    kept = (_MIN_PART * part_weights >= part_weights.max())[parts] & mask

    holes = label_components(~kept)
    hole_areas = np.bincount(holes.ravel())
    filled = _MAX_HOLE * hole_areas < np.count_nonzero(kept)
    filled[holes[border_mask(mask.shape, 1)]] = False  # the background, not a hole
    filled[0] = True  # number 0 is the mask itself
    cleaned: Mask = filled[holes]
    return cleaned


def label_components(mask: Mask) -> NDArray[np.int32]:
    """Number the connected parts of a mask; pixels that touch at a side are connected.

    Each row is split into runs of set pixels. Runs that touch in neighboring rows exchange the
    smaller of their numbers until none changes, which takes far fewer steps than single pixels
    would.

    Args:
        mask: bool ``(h, w)``.

    Returns:
        int32 ``(h, w)``: 0 outside the mask; the pixels of one part share a number of 1 or more.
    """
    height = mask.shape[0]
    stride = mask.shape[1] + 1  # an unset pixel behind each row separates the runs
    padded = np.zeros(height * stride + 1, bool)
    padded[1:].reshape(height, stride)[:, :-1] = mask
    run_starts, run_ends = np.flatnonzero(padded[1:] != padded[:-1]).reshape(-1, 2).T
    # each run touches consecutive runs of the row below: ``count`` of them from ``first`` on
    first = np.searchsorted(run_ends, run_starts + stride, "right")
    count = np.searchsorted(run_starts, run_ends + stride) - first
    above = np.arange(len(run_starts)).repeat(count)
    below = np.arange(len(above)) + (first + count - count.cumsum()).repeat(count)
    numbers = np.arange(len(run_starts))
    while (numbers[above] != numbers[below]).any():
        for source, target in ((above, below), (below, above)):
            np.minimum.at(numbers, numbers[source], numbers[target])
        numbers = numbers[numbers]
    parts = np.zeros(mask.shape, np.int32)
    parts[mask] = (numbers + 1).repeat(run_ends - run_starts)
    return parts


def _dilate(mask: Mask) -> Mask:
    """Return the mask grown by one pixel in all eight directions."""
    for _ in range(2):  # along the columns, then, transposed, along the rows
        grown = mask.copy()
        grown[1:] |= mask[:-1]
        grown[:-1] |= mask[1:]
        mask = grown.T
    return mask
