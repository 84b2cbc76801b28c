"""The pictures that set the activations' ranges."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["calibration_digest", "calibration_pixels"]


def calibration_pixels(sample: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A calibration sample whose pixels span the whole range of a byte.

    The converters take the input's range from the sample. Only where it is 0 to 255 is a pixel's
    byte its own quantized value, and no arithmetic is left between picture and network; so where
    the sample falls short, its very first and its very last value are set to 0 and 255.

    Args:
        sample: uint8 ``(n, height, width, channels)``, drawn from the training pictures.

    Returns:
        The same array, or a copy with two values changed.

    Raises:
        DataError: no pictures, another dtype or shape, or a single value.
    """
    if sample.dtype != np.uint8 or sample.ndim != 4 or sample.size < 2:  # noqa: PLR2004
        raise DataError(
            "calibration pictures must be uint8 (n, height, width, channels), two values at least. "
            f"Received: {sample.dtype} {sample.shape}"
        )
    if sample.min() == 0 and sample.max() == 255:  # noqa: PLR2004
        return sample
    stretched = sample.copy()
    stretched.flat[0], stretched.flat[-1] = 0, 255
    return stretched


def calibration_digest(sample: NDArray[np.uint8]) -> str:
    """SHA-256 of the sample's pixels, in hex."""
    return hashlib.sha256(np.ascontiguousarray(sample).tobytes()).hexdigest()
