"""SHA-256 checksums: of a model's bytes, and of the metadata that describes it."""

from __future__ import annotations

from typing import Any

from fmx_runtime.errors import ModelFileError
from fmx_runtime.support import json_codec

__all__ = ["check_model", "metadata_checksum", "sha256"]

_SMALL_BYTES = 1 << 20
"""Content up to this size is hashed without OpenSSL, which takes longer to load: 9 ms of a cold
start of 100. CPython's own module loads at once, but takes up to five times as long per byte.
"""


def sha256(content: bytes) -> str:
    """Return the SHA-256 digest of ``content`` in hexadecimal."""
    digest: Any = (
        _small_sha256(content) if len(content) <= _SMALL_BYTES else _hashlib_sha256(content)
    )
    return str(digest.hexdigest())


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


def _hashlib_sha256(content: bytes) -> Any:
    from hashlib import sha256

    return sha256(content)


def _small_sha256(content: bytes) -> Any:
    """Hash with CPython's own module, which may have been left out of a build."""
    try:
        from _sha2 import sha256  # type: ignore[import-not-found,unused-ignore]
    except ImportError:  # before CPython 3.12
        try:
            from _sha256 import sha256  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            return _hashlib_sha256(content)
    return sha256(content)
