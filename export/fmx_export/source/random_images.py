"""Random images, to compare a model with its exported files where there are no real images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fmx_runtime.labeled_images.sampling import random_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["random_images"]


def random_images(spec: InputSpec, size: int, seed: int) -> NDArray[np.uint8]:
    """Return images of random pixels, the same ones on every machine.

    Args:
        spec: the network's input.
        size: number of images, 1 or more.
        seed: 0 or more.

    Returns:
        uint8 ``(size, height, width, channels)``.
    """
    shape = (size, *spec.shape)
    return random_bytes(math.prod(shape), seed).reshape(shape)
