"""The calibration sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fmx_export.calibrate import calibration_digest, calibration_pixels
from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmx_training.dataset import Splits

PICTURES = arrays.arrays(
    np.uint8,
    arrays.array_shapes(min_dims=4, max_dims=4, max_side=5).filter(lambda shape: max(shape) > 1),
)


@given(PICTURES)
def test_it_spans_a_byte(sample: NDArray[np.uint8]) -> None:
    """Whatever the pictures, 0 and 255 are among the values, and at most two values changed."""
    before = sample.copy()
    spanning = calibration_pixels(sample)
    assert (spanning.min(), spanning.max()) == (0, 255)
    assert (spanning.shape, spanning.dtype) == (sample.shape, np.uint8)
    assert np.count_nonzero(spanning != sample) <= 2
    assert np.array_equal(sample, before)


@given(PICTURES)
def test_it_changes_nothing_twice(sample: NDArray[np.uint8]) -> None:
    """A sample that spans already is given back itself."""
    spanning = calibration_pixels(sample)
    assert calibration_pixels(spanning) is spanning


def test_real_pictures_stay(few: Splits) -> None:
    """The real pictures have black and white in them."""
    sample = few.train.images[:100]
    assert calibration_pixels(sample) is sample


@pytest.mark.parametrize(
    "sample",
    [
        np.zeros((2, 2, 2, 1), np.float32),
        np.zeros((2, 2, 2), np.uint8),
        np.zeros((0, 2, 2, 1), np.uint8),
        np.zeros((1, 1, 1, 1), np.uint8),
    ],
)
def test_what_is_no_sample_is_refused(sample: NDArray[np.uint8]) -> None:
    """Another dtype or shape, no pictures, or a single value are named."""
    with pytest.raises(DataError, match="calibration pictures must be uint8") as caught:
        calibration_pixels(sample)
    assert str(caught.value).endswith(f"Received: {sample.dtype} {sample.shape}")


def test_the_digest_is_pinned() -> None:
    """The digest is the SHA-256 of the bytes, whatever the memory layout."""
    sample = np.arange(24, dtype=np.uint8).reshape(2, 3, 4, 1)
    expected = "1d64add2a6388367c9bc2d1f1b384b069a6ef382cdaaa89771dd103e28613a25"
    assert calibration_digest(sample) == expected
    assert calibration_digest(np.asfortranarray(sample)) == expected


@given(PICTURES, st.data())
def test_the_digest_tells_samples_apart(sample: NDArray[np.uint8], data: st.DataObject) -> None:
    """One changed pixel is another digest."""
    other = sample.copy()
    other.flat[data.draw(st.integers(0, sample.size - 1))] ^= 1
    assert calibration_digest(other) != calibration_digest(sample)
