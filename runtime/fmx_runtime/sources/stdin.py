"""What comes in on the standard input: one encoded image, or a list of paths."""

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

# longer by far than the names of files that begin with the same letters, as in BM.jpg
_IMAGE = re.compile(
    rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|RIFF.{4}WEBP|BM.{4}\0{4}|II\*\0|MM\0\*|P[1-6f]\s+[\d#]",
    re.DOTALL,
)
_NO_NAME = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]|\0\0")
_CHUNK = 1 << 16
_LONGEST_NAME = 4096
_WANTED = "an image (PNG, JPEG, WebP, GIF, BMP, TIFF or PPM), or paths, one a line or ending in NUL"


def read() -> bytes | Iterator[str]:
    """The image's bytes, or the paths as they come.

    Which of the two is decided by the first bytes, so that no option is needed. Paths are separated
    by NUL if there is one in what comes first, as ``find -print0`` writes them; by line ends
    otherwise.

    Raises:
        ImageError: nothing, or neither of the two; or it cannot be read.
    """
    if sys.stdin is None:
        raise ImageError("the standard input is closed: send it " + _WANTED)
    stream: io.BufferedReader = sys.stdin.buffer  # type: ignore[assignment]
    start = _start(stream)
    if _IMAGE.match(start):
        return _image(stream, start)
    if not start.strip():
        raise ImageError("nothing came in on the standard input: send it " + _WANTED)
    if _NO_NAME.search(start) or _separated(start) is False:
        raise ImageError("what came in on the standard input is neither " + _WANTED)
    return _paths(stream, start)


def _start(stream: io.BufferedReader) -> bytes:
    """What comes first: enough to know an image by, or a first path, which may be all there is."""
    start = chunk = _chunk(stream)
    while chunk and _separated(start) is None:
        start += (chunk := _chunk(stream))
    return start


def _image(stream: io.BufferedReader, start: bytes) -> bytes:
    from fmx_runtime.images.decode import MOST_FILE_BYTES

    parts = [start]
    room = MOST_FILE_BYTES - len(start)
    while room >= 0 and (chunk := _chunk(stream)):
        parts.append(chunk)
        room -= len(chunk)
    if room < 0:
        raise ImageError(
            f"the image on the standard input has more than {MOST_FILE_BYTES:,} bytes: "
            "save it smaller"
        )
    return b"".join(parts)


def _paths(stream: io.BufferedReader, start: bytes) -> Iterator[str]:
    separator = b"\0" if b"\0" in start else b"\n"
    rest = chunk = start
    while chunk:
        *paths, rest = rest.split(separator)
        yield from (_path(path) for path in paths if path.strip())
        if len(rest) > _LONGEST_NAME:
            raise ImageError("a path on the standard input is too long to be one")
        rest += (chunk := _chunk(stream))
    if rest.strip():
        yield _path(rest)


def _separated(text: bytes) -> bool | None:
    """Whether a path ends in the text; None if it still may."""
    if b"\n" in text or b"\0" in text:
        return True
    return None if len(text) <= _LONGEST_NAME else False


def _path(line: bytes) -> str:
    return os.fsdecode(line.removesuffix(b"\r"))  # of lists that Windows wrote


def _chunk(stream: io.BufferedReader) -> bytes:
    """What is there, or what comes next; nothing at the end."""
    try:
        return stream.read1(_CHUNK)
    except OSError as error:
        raise ImageError(f"the standard input cannot be read: {error.strerror}") from error
