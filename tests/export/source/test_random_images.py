from __future__ import annotations

import numpy as np

from fmx_export.source.random_images import random_images
from fmx_runtime.model_file.metadata import InputSpec

SPEC = InputSpec(
    height=20, width=24, channels=3, scale=1, offset=0, resize="stretch", polarity="any"
)


def test_random_images_are_pinned() -> None:
    """A seed gives the same images on every machine, and all pixel values occur."""
    images = random_images(SPEC, 5, 0)
    assert images.shape == (5, *SPEC.shape)
    assert images.dtype == np.uint8
    assert len(np.unique(images)) == 256
    assert images.ravel()[:5].tolist() == [95, 130, 194, 217, 207]
    assert not np.array_equal(images, random_images(SPEC, 5, 1))
