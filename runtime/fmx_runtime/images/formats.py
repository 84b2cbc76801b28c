"""The image formats that are accepted, and how each one is recognized and opened.

A format is recognized by the first bytes of a file, never by its name. `PIL.Image.open` is not
used: it would try every format that Pillow knows, some of which start other programs.
"""

from __future__ import annotations

import functools
import importlib
import re
from typing import TYPE_CHECKING, Any, Literal

from fmx_runtime.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

__all__ = ["SUPPORTED_FORMATS", "ImageFormat", "detect_image_format", "pillow_opener"]

ImageFormat = Literal["Png", "Jpeg", "WebP", "Gif", "Bmp", "Tiff", "Ppm"]
"""A format, by the name that Pillow gives its plugin module and its class."""

SUPPORTED_FORMATS = "PNG, JPEG, WebP, GIF, BMP, TIFF or PPM"
"""The formats, as error messages list them."""

_SIGNATURES: tuple[tuple[re.Pattern[bytes], ImageFormat], ...] = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "Png"),
    (re.compile(rb"\xff\xd8\xff"), "Jpeg"),
    (re.compile(rb"RIFF....WEBPVP8", re.DOTALL), "WebP"),
    (re.compile(rb"GIF8[79]a"), "Gif"),
    (re.compile(rb"BM"), "Bmp"),
    (re.compile(rb"II\*\0|MM\0\*"), "Tiff"),
    (re.compile(rb"P[1-6f]\s"), "Ppm"),
)


def detect_image_format(content: bytes) -> ImageFormat:
    """Return the format of an encoded image.

    Raises:
        ImageError: the content is empty or has another format.
    """
    for signature, image_format in _SIGNATURES:
        if signature.match(content):
            return image_format
    if not content:
        raise ImageError("is empty: copy the image again")
    raise ImageError(f"is not an image in a supported format: save it as {SUPPORTED_FORMATS}")


@functools.cache
def pillow_opener(image_format: ImageFormat) -> Callable[[BinaryIO], Any]:
    """Return Pillow's class that opens one format; only its plugin module is imported."""
    module = importlib.import_module(f"PIL.{image_format}ImagePlugin")
    opener: Callable[[BinaryIO], Any] = getattr(module, f"{image_format}ImageFile")
    return opener
