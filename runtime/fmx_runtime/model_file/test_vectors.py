"""Pack and unpack test vectors: inputs and their expected outputs, stored in the model file."""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from fmx_runtime.errors import ModelFileError
from fmx_runtime.model_file.metadata import TestVectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["decode", "encode"]


def encode(pixels: NDArray[np.uint8], outputs: NDArray[np.float32]) -> TestVectors:
    """Pack inputs and their outputs for the metadata.

    Args:
        pixels: uint8 ``(n, height, width, channels)``.
        outputs: float32 ``(n, classes)``, class probabilities.

    Returns:
        The packed vectors. `decode` returns equal arrays, bit for bit.
    """
    packed = base64.b64encode(zlib.compress(np.ascontiguousarray(pixels).tobytes(), 9))
    return TestVectors(
        pixels=packed.decode("ascii"),
        outputs=tuple(tuple(float(value) for value in row) for row in outputs),
    )


def decode(
    test_vectors: TestVectors, shape: tuple[int, int, int]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Unpack test vectors.

    Args:
        test_vectors: from the metadata.
        shape: ``(height, width, channels)`` of one input.

    Returns:
        uint8 ``(n, height, width, channels)`` and float32 ``(n, classes)``.

    Raises:
        ModelFileError: the vectors are damaged.
    """
    count = len(test_vectors.outputs)
    try:
        packed = base64.b64decode(test_vectors.pixels, validate=True)
        # a few compressed bytes may expand to gigabytes: one byte too many is enough to see it
        limit = count * shape[0] * shape[1] * shape[2] + 1
        raw = zlib.decompressobj().decompress(packed, limit)
        pixels = np.frombuffer(raw, np.uint8).reshape(count, *shape)
        return pixels, np.array(test_vectors.outputs, np.float32)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise ModelFileError(f"the model's test vectors are damaged: {error}") from error
