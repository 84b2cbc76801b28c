"""The calibration set: the images from which the ranges of a network's activations are taken."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fmx_export.common.errors import CalibrationError
from fmx_runtime.images.preprocess import to_tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fmx_runtime.model_file.metadata import InputSpec

__all__ = [
    "CalibrationSet",
    "calibration_digest",
    "check_calibration_images",
    "model_inputs",
]


@dataclass(frozen=True)
class CalibrationSet:
    """Training images that are run through the float network to calibrate it.

    Attributes:
        images: uint8 ``(n, height, width, channels)``.
        split: name of the data set and split that they were drawn from.
        seed: of the random generator that drew them.
    """

    images: NDArray[np.uint8]
    split: str
    seed: int


def check_calibration_images(images: NDArray[np.uint8], spec: InputSpec) -> None:
    """Check that there is at least one image, and that all fit the network's input.

    Args:
        images: of the calibration set.
        spec: the Keras model's input.

    Raises:
        CalibrationError: there are no images, or their dtype or shape differs.
    """
    if images.dtype != np.uint8 or images.shape[1:] != spec.shape or not len(images):
        raise CalibrationError(
            f"calibration images must be uint8 (n, {', '.join(map(str, spec.shape))}), "
            f"at least one. Received: {images.dtype} {images.shape}"
        )


def calibration_digest(images: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of the images' pixels, in hex."""
    return hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest()


def model_inputs(images: NDArray[np.uint8], spec: InputSpec) -> Iterator[NDArray[np.float32]]:
    """Yield images one by one as the float network takes them.

    Args:
        images: uint8 ``(n, height, width, channels)``.
        spec: the Keras model's input.

    Yields:
        float32 ``(1, height, width, channels)``, in the network's input range.
    """
    for image in images:
        yield to_tensor(image[np.newaxis], spec)
