from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis.extra import numpy as npst

from fmx_runtime.images.segmentation.mask_cleanup import clean_mask, label_components

if TYPE_CHECKING:
    from numpy.typing import NDArray

masks = npst.arrays(bool, npst.array_shapes(min_dims=2, max_dims=2, max_side=12))


def components(mask: NDArray[np.bool_]) -> set[frozenset[tuple[int, int]]]:
    """Return the connected parts of a mask, found one pixel at a time."""
    left = {(int(row), int(column)) for row, column in np.argwhere(mask)}
    found = set()
    while left:
        pending, part = [left.pop()], set()
        while pending:
            row, column = pending.pop()
            part.add((row, column))
            for near in (
                (row - 1, column),
                (row + 1, column),
                (row, column - 1),
                (row, column + 1),
            ):
                if near in left:
                    left.remove(near)
                    pending.append(near)
        found.add(frozenset(part))
    return found


@given(masks)
def test_components(mask: NDArray[np.bool_]) -> None:
    """Pixels have the same number exactly if they are connected; the others have 0."""
    parts = label_components(mask)
    assert np.array_equal(parts > 0, mask)
    numbers = set(np.unique(parts[mask]).tolist())
    by_number = {
        frozenset((int(row), int(column)) for row, column in np.argwhere(parts == number))
        for number in numbers
    }
    assert by_number == components(mask)


def test_a_component_around_many_corners() -> None:
    """A spiral is one part."""
    spiral = np.array(
        [
            [1, 1, 1, 1, 1, 1, 1],
            [0, 0, 0, 0, 0, 0, 1],
            [1, 1, 1, 1, 1, 0, 1],
            [1, 0, 0, 0, 1, 0, 1],
            [1, 0, 1, 1, 1, 0, 1],
            [1, 0, 0, 0, 0, 0, 1],
            [1, 1, 1, 1, 1, 1, 1],
        ],
        bool,
    )
    assert len(np.unique(label_components(spiral)[spiral])) == 1


def test_cleanup() -> None:
    """Threads and small parts are removed, small holes are filled, large ones stay."""
    mask = np.zeros((40, 40), bool)
    mask[5:35, 5:35] = True
    expected = mask.copy()
    mask[0:4, 20] = True  # a thread
    mask[37:40, 0:3] = True  # a small part
    mask[10:13, 10:13] = False  # a small hole
    mask[17:31, 17:31] = expected[17:31, 17:31] = False  # a large one
    assert np.array_equal(clean_mask(mask), expected)


@given(masks)
def test_any_mask(mask: NDArray[np.bool_]) -> None:
    """A cleaned mask has the shape of the mask, and its pixels belong to one part or more."""
    cleaned = clean_mask(mask)
    assert (cleaned.shape, cleaned.dtype) == (mask.shape, mask.dtype)
