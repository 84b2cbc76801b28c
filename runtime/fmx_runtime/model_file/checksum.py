"""SHA-256 without OpenSSL, whose library takes longer to load than a small model to check."""

from __future__ import annotations

try:
    from _sha2 import sha256 as _sha256  # type: ignore[import-not-found,unused-ignore]
except ImportError:  # before CPython 3.12
    try:
        from _sha256 import sha256 as _sha256  # type: ignore[import-not-found,unused-ignore]
    except ImportError:  # CPython may be built without its own
        from hashlib import sha256 as _sha256

__all__ = ["sha256"]


def sha256(content: bytes) -> str:
    """The digest in hex."""
    return str(_sha256(content).hexdigest())
