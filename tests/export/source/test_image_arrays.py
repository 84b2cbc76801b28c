from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_export.source.image_arrays import ImageArray, hold_out, sample
from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from fmx_training.data.dataset import Splits


@pytest.mark.parametrize(("size", "expected"), [(500, 250), (100, 100), (1, 1)])
def test_labeled_images_are_divided(size: int, expected: int, few: Splits) -> None:
    """No image is in both parts, classes are alike in both, and few images are halved."""
    validation = few.validation
    images = ImageArray("some", validation.images, validation.labels)
    calibration, held_out = hold_out(images, size, 0)
    assert (len(calibration), len(held_out)) == (expected, 500 - expected)
    both = np.concatenate([calibration.images, held_out.images]).reshape(500, -1)
    assert len(np.unique(both, axis=0)) == len(
        np.unique(validation.images.reshape(500, -1), axis=0)
    )
    assert calibration.labels is not None
    counts = np.bincount(calibration.labels, minlength=10)
    assert counts.max() - counts.min() <= 1
    again, _ = hold_out(images, size, 0)
    assert again.digest() == calibration.digest()


def test_the_same_images_as_a_data_sets_split(few: Splits) -> None:
    """Images are divided as `Dataset.split` divides them, and have the same digest."""
    validation = few.validation
    images = ImageArray(validation.name, validation.images, validation.labels)
    assert images.digest() == validation.digest()
    rest, held = validation.split(400, seed=0)
    calibration, held_out = hold_out(images, 100, seed=0)
    assert (calibration.name, held_out.name) == (rest.name, held.name)
    assert calibration.digest() == rest.digest()
    assert held_out.digest() == held.digest()


@pytest.mark.parametrize(("total", "expected"), [(2, 1), (3, 1), (9, 4)])
def test_few_images_are_divided(total: int, expected: int, few: Splits) -> None:
    """Each part has an image at least, whatever their number; no image is in both."""
    images = ImageArray("some", few.train.images[:total])
    calibration, held_out = hold_out(images, 500, 0)
    assert (len(calibration), len(held_out)) == (expected, total - expected)
    assert calibration.labels is None
    both = np.concatenate([calibration.images, held_out.images])
    assert sorted(map(bytes, both)) == sorted(map(bytes, images.images))
    assert images.digest() != calibration.digest() != held_out.digest()


def test_one_image(few: Splits) -> None:
    """One image cannot be divided."""
    with pytest.raises(DataError, match="some: one image only; at least two are needed"):
        hold_out(ImageArray("some", few.train.images[:1]), 500, 0)


def test_sample(few: Splits) -> None:
    """A sample is that of `Dataset.balanced_sample`, or all images if there are fewer."""
    validation = few.validation
    images = ImageArray(validation.name, validation.images, validation.labels)
    expected = validation.balanced_sample(50, seed=0)
    chosen = sample(images, 50, seed=0)
    assert (chosen.name, chosen.digest()) == (expected.name, expected.digest())
    assert len(sample(images, 1000, seed=0)) == 500
