"""The calibration sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fmx_export.common.calibration import (
    CalibrationError,
    calibration_digest,
    check_calibration_images,
)
from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits

IMAGES = arrays.arrays(np.uint8, arrays.array_shapes(min_dims=4, max_dims=4, max_side=5))


def test_real_images_fit(source: SourceModel, few: Splits) -> None:
    """Images as the network takes them pass, however few and however dark."""
    check_calibration_images(few.train.images[:100], source.spec)
    check_calibration_images(np.zeros((1, 28, 28, 1), np.uint8), source.spec)


@pytest.mark.parametrize(
    "sample",
    [
        np.zeros((2, 28, 28, 1), np.float32),
        np.zeros((2, 28, 28), np.uint8),
        np.zeros((28, 28, 1), np.uint8),
        np.zeros((2, 28, 28, 3), np.uint8),
        np.zeros((2, 28, 27, 1), np.uint8),
        np.zeros((0, 28, 28, 1), np.uint8),
    ],
)
def test_what_does_not_fit_is_refused(sample: NDArray[np.uint8], source: SourceModel) -> None:
    """Another dtype, another shape, or no images give one line with what is asked and given."""
    with pytest.raises(CalibrationError) as caught:
        check_calibration_images(sample, source.spec)
    assert isinstance(caught.value, DataError)
    assert str(caught.value) == (
        "calibration images must be uint8 (n, 28, 28, 1), at least one. "
        f"Received: {sample.dtype} {sample.shape}"
    )


def test_the_digest_is_pinned() -> None:
    """The digest is the SHA-256 of the bytes, whatever the memory layout."""
    sample = np.arange(24, dtype=np.uint8).reshape(2, 3, 4, 1)
    expected = "1d64add2a6388367c9bc2d1f1b384b069a6ef382cdaaa89771dd103e28613a25"
    assert calibration_digest(sample) == expected
    assert calibration_digest(np.asfortranarray(sample)) == expected


@given(IMAGES, st.data())
def test_the_digest_tells_samples_apart(sample: NDArray[np.uint8], data: st.DataObject) -> None:
    """One changed pixel is another digest."""
    other = sample.copy()
    other.flat[data.draw(st.integers(0, sample.size - 1))] ^= 1
    assert calibration_digest(other) != calibration_digest(sample)
