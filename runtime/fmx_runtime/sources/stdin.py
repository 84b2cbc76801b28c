"""The standard input: one encoded image, or a list of paths."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

from fmx_runtime.errors import ImageError

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

__all__ = ["read"]

# Longer than the signatures of `fmx_runtime.images.formats`, so that a file name that begins with
# the same letters, as BM.jpg does, is not taken for an image.
_IMAGE_START = re.compile(
    rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|RIFF.{4}WEBP|BM.{4}\0{4}|II\*\0|MM\0\*|P[1-6f]\s+[\d#]",
    re.DOTALL,
)
_NOT_IN_PATHS = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]|\0\0")
_CHUNK_BYTES = 1 << 16
_MAX_PATH_BYTES = 4096
_EXPECTED = (
    "an image (PNG, JPEG, WebP, GIF, BMP, TIFF or PPM), or paths, one per line or NUL-separated"
)


def read() -> bytes | Iterator[str]:
    """Return the bytes of an image, or the paths as they arrive.

    The first bytes tell which of the two it is, so no option is needed. Paths are separated by NUL
    if the first chunk contains one, as ``find -print0`` writes them, otherwise by line ends.

    Raises:
        ImageError: the standard input is empty, is neither an image nor paths, or cannot be read.
    """
    if sys.stdin is None:
        raise ImageError(f"the standard input is closed: send {_EXPECTED}")
    stream: io.BufferedReader = sys.stdin.buffer  # type: ignore[assignment]
    start = _read_start(stream)
    if _IMAGE_START.match(start):
        return _read_image(stream, start)
    if not start.strip():
        raise ImageError(f"the standard input is empty: send {_EXPECTED}")
    if _NOT_IN_PATHS.search(start) or _contains_path(start) is False:
        raise ImageError(f"the standard input is neither an image nor paths: send {_EXPECTED}")
    return _read_paths(stream, start)


def _read_start(stream: io.BufferedReader) -> bytes:
    """Return enough bytes to recognize an image, or the first path, which may be all there is."""
    start = chunk = _read_chunk(stream)
    while chunk and _contains_path(start) is None:
        start += (chunk := _read_chunk(stream))
    return start


def _read_image(stream: io.BufferedReader, start: bytes) -> bytes:
    from fmx_runtime.images.limits import MAX_FILE_BYTES

    chunks = [start]
    bytes_left = MAX_FILE_BYTES - len(start)
    while bytes_left >= 0 and (chunk := _read_chunk(stream)):
        chunks.append(chunk)
        bytes_left -= len(chunk)
    if bytes_left < 0:
        raise ImageError(
            f"the image on the standard input has more than {MAX_FILE_BYTES:,} bytes: "
            "save it smaller"
        )
    return b"".join(chunks)


def _read_paths(stream: io.BufferedReader, start: bytes) -> Iterator[str]:
    separator = b"\0" if b"\0" in start else b"\n"
    rest = chunk = start
    while chunk:
        *paths, rest = rest.split(separator)
        yield from (_decode_path(path) for path in paths if path.strip())
        if len(rest) > _MAX_PATH_BYTES:
            raise ImageError(
                f"a path on the standard input is longer than {_MAX_PATH_BYTES:,} bytes: "
                "separate paths by line ends or NUL"
            )
        rest += (chunk := _read_chunk(stream))
    if rest.strip():
        yield _decode_path(rest)


def _contains_path(text: bytes) -> bool | None:
    """Return whether the text contains the end of a path; None if the path may be longer."""
    if b"\n" in text or b"\0" in text:
        return True
    return None if len(text) <= _MAX_PATH_BYTES else False


def _decode_path(line: bytes) -> str:
    return os.fsdecode(line.removesuffix(b"\r"))  # Windows ends lines with \r\n


def _read_chunk(stream: io.BufferedReader) -> bytes:
    """Return the bytes that have arrived, or wait for the next ones; nothing at the end."""
    try:
        return stream.read1(_CHUNK_BYTES)
    except OSError as error:
        raise ImageError(f"the standard input cannot be read: {error.strerror}") from error
