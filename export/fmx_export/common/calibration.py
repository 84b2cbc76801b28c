"""The images that set the activations' ranges."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from fmx_export.common.errors import CalibrationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["calibration_digest", "check_sample"]


def check_sample(sample: NDArray[np.uint8], spec: InputSpec) -> None:
    """Make sure that there are images, as the network takes them.

    Raises:
        CalibrationError: no images, or another dtype or shape.
    """
    if sample.dtype != np.uint8 or sample.shape[1:] != spec.shape or not len(sample):
        raise CalibrationError(
            f"calibration images must be uint8 (n, {', '.join(map(str, spec.shape))}), "
            f"at least one. Received: {sample.dtype} {sample.shape}"
        )


def calibration_digest(sample: NDArray[np.uint8]) -> str:
    """SHA-256 of the sample's pixels, in hex."""
    return hashlib.sha256(np.ascontiguousarray(sample).tobytes()).hexdigest()
