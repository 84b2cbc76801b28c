"""SHA-256 checksums: of a model's bytes, and of the metadata that describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fmx_runtime.errors import ModelFileError
from fmx_runtime.support import json_codec

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["check_model", "metadata_checksum", "sha256"]

_SMALL_BYTES = 1 << 20
"""Up to here Python's own SHA-256 is faster than loading OpenSSL, which hashes faster."""


def sha256(content: bytes) -> str:
    """Return the SHA-256 digest of ``content`` in hexadecimal."""
    return str(_implementation(len(content))(content).hexdigest())


def check_model(content: bytes, *, model_sha256: str, model_bytes: int) -> None:
    """Check that a file still holds the model that its metadata was written for.

    Args:
        content: the whole file.
        model_sha256: the model's checksum, from the metadata.
        model_bytes: the number of bytes at the file's start that the checksum covers.

    Raises:
        ModelFileError: the checksum differs.
    """
    model = content[: max(0, model_bytes)]
    if not model or sha256(model) != model_sha256:
        raise ModelFileError("was changed after it was exported (checksum differs); export again")


def metadata_checksum(data: dict[str, Any]) -> str:
    """Return the checksum of the metadata's canonical JSON text.

    Args:
        data: the metadata as a JSON object, without its checksum. Keys that this version does not
            know are covered too.
    """
    return sha256(json_codec.dump(data).encode("utf-8", "surrogatepass"))


def _implementation(size: int) -> Callable[[bytes], Any]:
    """Return the SHA-256 that takes least time for ``size`` bytes, loading it included.

    `hashlib` loads OpenSSL, which takes longer than hashing a small model: 9 ms of a start that
    takes 100. CPython's own module has no such cost, but takes up to five times as long per byte.
    """
    if size <= _SMALL_BYTES:
        try:
            from _sha2 import sha256  # type: ignore[import-not-found,unused-ignore]
        except ImportError:  # before CPython 3.12
            try:
                from _sha256 import sha256  # type: ignore[import-not-found,unused-ignore]
            except ImportError:  # CPython may be built without either
                from hashlib import sha256
    else:
        from hashlib import sha256
    return sha256
