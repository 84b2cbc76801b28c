"""Geometry of the pixel grid: neighbors, the border, and the distance from the center."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from types import EllipsisType

    from numpy.typing import NDArray
    from PIL import Image

    Index = tuple[EllipsisType, slice, slice]

__all__ = ["HALF_WAY", "border_mask", "channel_planes", "distance_from_center", "neighbor_slices"]

HALF_WAY = 64
"""The distance from the center of the image to the middle of a side."""


def distance_from_center(shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Return how far each pixel lies from the center of the image.

    The distance is the sum of the fourth powers of the vertical and the horizontal one, so that it
    is flat near the center and steep near the border.

    Args:
        shape: height and width.

    Returns:
        int32 ``(h, w)``: 0 in the center, about `HALF_WAY` in the middle of each side, and
        twice that in the corners.
    """
    vertical, horizontal = (
        np.abs(2 * np.arange(side, dtype=np.int32) - (side - 1)) * HALF_WAY // side
        for side in shape
    )
    distance: NDArray[np.int32] = (vertical[:, np.newaxis] ** 4 + horizontal**4) // HALF_WAY**3
    return distance


def border_mask(shape: tuple[int, ...], width: int) -> NDArray[np.bool_]:
    """Return a mask ``(h, w)`` of the pixels less than ``width`` from the border."""
    mask = np.ones(shape, bool)
    mask[width:-width, width:-width] = False
    return mask


def channel_planes(image: Image.Image) -> NDArray[np.int32]:
    """Return the channels of an image one after the other: int32 ``(channels, h, w)``."""
    return np.asarray(image).transpose(2, 0, 1).astype(np.int32, order="C")


def neighbor_slices(down: int, right: int) -> tuple[Index, Index]:
    """Return indices of all pixels that have a neighbor at an offset, and of those neighbors.

    Args:
        down: rows from a pixel to its neighbor, 0 or 1.
        right: columns from a pixel to its neighbor, -1 to 1.

    Returns:
        Two indices into arrays ``(..., h, w)``: ``array[first]`` are the pixels and
        ``array[second]`` their neighbors, in the same order.
    """
    everything = (slice(None), slice(None))
    shifted = (slice(None, -1), slice(1, None))
    rows = shifted if down else everything
    columns = shifted if right else everything
    if right < 0:
        columns = columns[::-1]
    return (..., rows[0], columns[0]), (..., rows[1], columns[1])
