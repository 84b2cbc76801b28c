"""Checksums of arrays: results on equal data can be compared."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["arrays_digest"]


def arrays_digest(*arrays: NDArray[Any]) -> str:
    """Return the SHA-256 (hex) of the arrays' dtypes, shapes and values."""
    sha256 = hashlib.sha256()
    for array in arrays:
        little_endian = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
        sha256.update(f"{little_endian.dtype.str}{array.shape}".encode())
        sha256.update(little_endian.data)
    return sha256.hexdigest()
