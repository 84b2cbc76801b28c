"""Open an image in any form: a file, its bytes, a Pillow image or an array.

Images may come from untrusted sources, so this package takes precautions:

- `formats`: only still-image formats are opened, recognized by their first bytes.
- `files`: only regular files are read.
- `limits`: what decoding would take is computed from the header first, and too much is refused.
- `exif`: images are turned upright.
- `color`: images are converted to 8-bit gray or RGB.

This module composes them.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import threading
import warnings
from typing import TYPE_CHECKING, Any, Literal, Union

import numpy as np
from PIL import Image

from fmx_runtime.errors import ImageError
from fmx_runtime.images.color import convert_image, image_from_array
from fmx_runtime.images.exif import hide_jpeg_exif, read_orientation, turn_upright
from fmx_runtime.images.files import read_image_file
from fmx_runtime.images.formats import detect_image_format, pillow_opener
from fmx_runtime.images.limits import (
    BoundedFile,
    check_decoder_speed,
    check_memory,
    check_size,
    check_tiff_tags,
    check_webp_header,
    decoded_bytes,
    decoder_bytes,
)
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ImageLike", "image_name", "open_image"]

ImageLike = Union[str, "os.PathLike[str]", bytes, Image.Image, "NDArray[np.uint8]"]
"""A path, the bytes of an encoded image, a Pillow image, or an array.

An array is uint8 ``(h, w)``, ``(h, w, 1)`` or ``(h, w, 3)``.
"""

_SMALL_PNG_BYTES = 1 << 16  # small files cannot do harm, and are read faster without a limit
_MAX_NAME_LENGTH = 512  # of a path in a message; longer ones are shortened
_NAME_END_LENGTH = 200  # of each end of a shortened path


def open_image(
    image: ImageLike, mode: Literal["L", "RGB"], min_side: int | None = None
) -> Image.Image:
    """Return an image, upright, as 8-bit gray or RGB.

    - Only the first frame of an animation, or the first page of a document, is decoded.
    - The image is turned and mirrored as its EXIF orientation says. Damaged EXIF data is ignored.
    - Transparency, deep colors and color profiles: see `fmx_runtime.images.color`.
    - An image with many more pixels than the caller needs is averaged down by a power of two. JPEG
      files are averaged down while they are decoded, which takes a fraction of time and memory.

    Args:
        image: see `ImageLike`.
        mode: of the result.
        min_side: pixels that the shorter side keeps at least; None keeps all pixels.

    Raises:
        ImageError: the file is missing or no regular file, is no image, is damaged or too large; or
            the array has another shape or dtype.
    """
    if isinstance(image, np.ndarray):
        return convert_image(image_from_array(image), mode, min_side)
    source = image if isinstance(image, (bytes, Image.Image)) else os.fspath(image)
    try:
        content = read_image_file(source) if isinstance(source, str) else source
        return _decode(content, mode, min_side)
    except ImageError as error:
        raise ImageError(f"{image_name(source)} {error}") from error
    except MemoryError as error:
        raise ImageError(
            f"{image_name(source)} does not fit into memory: save it smaller"
        ) from error
    # decoders raise many types for damaged files, SyntaxError and struct.error among them
    except Exception as error:
        cause = "it cannot be decoded"
        if type(error) is OSError:  # Pillow's own message
            cause = error.strerror or error_summary(error)
        raise ImageError(
            f"{image_name(source)} is damaged: {cause}: copy or save it again"
        ) from error


def image_name(image: ImageLike) -> str:
    """Return what messages call an image: its path, on one line of limited length."""
    if not isinstance(image, (str, os.PathLike)):
        return "the image"
    source = os.fspath(image)
    if len(source) > _MAX_NAME_LENGTH:
        source = f"{source[:_NAME_END_LENGTH]}...{source[-_NAME_END_LENGTH:]}"
    return f"'{source}'" if source.isprintable() else repr(source)


def _decode(source: bytes | Image.Image, mode: str, min_side: int | None) -> Image.Image:
    """Return the image upright in that mode."""
    # Pillow warns of PNG files only if they are animated
    silent = isinstance(source, bytes) and source.startswith(b"\x89PNG") and b"acTL" not in source
    with contextlib.nullcontext() if silent else _PILLOW_SILENCER:
        image = _open_safely(source, mode, min_side) if isinstance(source, bytes) else source
        image.load()
        converted = convert_image(image, mode, min_side)
        return turn_upright(converted, read_orientation(source, image))


def _open_safely(content: bytes, mode: str, min_side: int | None) -> Any:
    """Return a Pillow image that is safe to decode; `load` decodes it.

    Raises:
        ImageError: the format is unknown, or decoding would take too much.
    """
    image_format = detect_image_format(content)
    if image_format == "Jpeg":
        content = hide_jpeg_exif(content)
    elif image_format == "WebP":
        check_webp_header(content)
    elif image_format == "Tiff":
        check_tiff_tags(content)
    is_small = image_format == "Png" and len(content) <= _SMALL_PNG_BYTES
    file = io.BytesIO(content) if is_small else BoundedFile(content)
    image = pillow_opener(image_format)(file)
    size = image.size
    check_size(size)
    memory_bytes = len(content) + decoder_bytes(image_format, image, content, file.tell())
    if image_format == "Jpeg":
        # decode to a half, a quarter or an eighth of the size, and only the brightness for gray
        image.draft(mode, (min_side, min_side) if min_side else None)
    check_memory(memory_bytes + decoded_bytes(image), size)
    check_decoder_speed(image, size)
    if isinstance(file, BoundedFile):
        file.allow_pixels()
    return image


class _PillowSilencer:
    """Suppresses Pillow's warnings and log messages while any thread decodes an image.

    `warnings.catch_warnings` is not safe for threads.
    """

    _FILTER = ("ignore", None, Warning, re.compile(r"PIL\."), 0)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active = 0
        self._logger = logging.getLogger("PIL.TiffImagePlugin")  # no other module logs errors

    def __enter__(self) -> None:
        with self._lock:
            self._active += 1
            if self._active == 1:
                warnings.filters.insert(0, self._FILTER)  # type: ignore[attr-defined]
                self._logger.addFilter(self._drop)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._active -= 1
            if self._active == 0:
                self._logger.removeFilter(self._drop)
                with contextlib.suppress(ValueError):  # another thread has replaced the filters
                    warnings.filters.remove(self._FILTER)  # type: ignore[attr-defined]

    @staticmethod
    def _drop(_: logging.LogRecord) -> bool:
        return False


_PILLOW_SILENCER = _PillowSilencer()
