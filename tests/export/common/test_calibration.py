"""The calibration set."""

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
    model_inputs,
)
from fmx_runtime.errors import DataError
from fmx_runtime.images.preprocess import to_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits

IMAGES = arrays.arrays(np.uint8, arrays.array_shapes(min_dims=4, max_dims=4, max_side=5))


def test_real_images_pass(source: SourceModel, few: Splits) -> None:
    """Images in the network's size pass, even a single black one."""
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
def test_unsuitable_images_are_refused(sample: NDArray[np.uint8], source: SourceModel) -> None:
    """For another dtype or shape, or no images, the error has what is expected and received."""
    with pytest.raises(CalibrationError) as caught:
        check_calibration_images(sample, source.spec)
    assert isinstance(caught.value, DataError)
    assert str(caught.value) == (
        "calibration images must be uint8 (n, 28, 28, 1), at least one. "
        f"Received: {sample.dtype} {sample.shape}"
    )


def test_digest_is_the_sha256_of_the_pixels() -> None:
    """The digest is the SHA-256 of the bytes in C order, whatever the memory layout."""
    sample = np.arange(24, dtype=np.uint8).reshape(2, 3, 4, 1)
    expected = "1d64add2a6388367c9bc2d1f1b384b069a6ef382cdaaa89771dd103e28613a25"
    assert calibration_digest(sample) == expected
    assert calibration_digest(np.asfortranarray(sample)) == expected


@given(IMAGES, st.data())
def test_digest_depends_on_every_pixel(sample: NDArray[np.uint8], data: st.DataObject) -> None:
    """Changing one pixel changes the digest."""
    other = sample.copy()
    other.flat[data.draw(st.integers(0, sample.size - 1))] ^= 1
    assert calibration_digest(other) != calibration_digest(sample)


def test_model_inputs_are_preprocessed_one_by_one(source: SourceModel, few: Splits) -> None:
    """Each image becomes a float32 batch of one, as in a prediction on the device."""
    images = few.train.images[:3]
    tensors = list(model_inputs(images, source.spec))
    assert [tensor.shape for tensor in tensors] == [(1, 28, 28, 1)] * 3
    assert {tensor.dtype for tensor in tensors} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(np.concatenate(tensors), to_tensor(images, source.spec))
