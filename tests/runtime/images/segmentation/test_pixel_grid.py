from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fmx_runtime.images.segmentation.pixel_grid import (
    HALF_WAY,
    border_mask,
    channel_planes,
    distance_from_center,
    neighbor_slices,
)


def test_distance_from_center() -> None:
    """It is 0 in the center, about 64 in the middle of the sides, and twice that in the corners."""
    distance = distance_from_center((801, 601))
    assert distance[400, 300] == 0
    assert distance[400, 0] == distance[400, -1] == pytest.approx(HALF_WAY, abs=4)
    assert distance[0, 300] == distance[-1, 300] == pytest.approx(HALF_WAY, abs=4)
    assert distance[0, 0] == pytest.approx(2 * HALF_WAY, abs=8)
    assert np.array_equal(distance, distance[::-1, ::-1])


def test_border_mask() -> None:
    """It holds the pixels less than its width from the border."""
    mask = border_mask((6, 7), 2)
    assert np.argwhere(~mask).tolist() == [[2, 2], [2, 3], [2, 4], [3, 2], [3, 3], [3, 4]]


def test_channel_planes() -> None:
    """Channels come first, as signed integers."""
    planes = channel_planes(Image.new("RGB", (3, 2), (1, 2, 255)))
    assert (planes.shape, planes.dtype) == ((3, 2, 3), np.int32)
    assert planes[:, 0, 0].tolist() == [1, 2, 255]


@pytest.mark.parametrize("offset", [(0, 1), (1, 0), (1, 1), (1, -1), (0, 0)])
def test_neighbor_slices(offset: tuple[int, int]) -> None:
    """The two slices pair each pixel with its neighbor at that offset."""
    rows, columns = np.indices((4, 5))
    one, other = neighbor_slices(*offset)
    assert np.all(rows[other] - rows[one] == offset[0])
    assert np.all(columns[other] - columns[one] == offset[1])
    assert rows[one].shape == (4 - offset[0], 5 - abs(offset[1]))
