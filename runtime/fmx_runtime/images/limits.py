"""Limits on the memory and the processor time that decoding an image may take.

What decoding would take is computed from the header, before Pillow's decoder uses any memory.
Pillow's own settings belong to the whole process and stay as they are.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from PIL import Image

from fmx_runtime.errors import ImageError
from fmx_runtime.images.exif import ORIENTATION_TAG, read_tiff_directory

if TYPE_CHECKING:
    from fmx_runtime.images.formats import ImageFormat

__all__ = [
    "MAX_FILE_BYTES",
    "MAX_PIXELS",
    "MAX_SIDE",
    "BoundedFile",
    "check_decoder_speed",
    "check_memory",
    "check_size",
    "check_tiff_tags",
    "check_webp_header",
    "decoded_bytes",
    "decoder_bytes",
]

MAX_FILE_BYTES = 1 << 26
"""Larger files are refused: 64 MiB."""

MAX_PIXELS = 1 << 27
"""Larger images are refused: 134 megapixels. Phones take photos of up to 108."""

MAX_SIDE = (1 << 16) - 1
"""Wider and higher images are refused; it is also the limit of JPEG."""

_MAX_MEMORY_BYTES = 1 << 28  # the file, the decoder's work space and the decoded image together
_MAX_PIXELS_DECODED_IN_PYTHON = 1 << 19  # Pillow decodes a few rare kinds in Python, slowly
_MAX_JPEG_SCANS = 100  # files have 1 to 15; each scan may cover the whole image

# Limits on reading a file. Valid headers take a few dozen calls.
_HEADER_READ_CALLS = 10_000
_HEADER_READ_BYTES = 1 << 24
_PIXEL_READ_CALLS = 1 << 20
_PIXEL_READ_BYTES = 1 << 31

# Measured: libwebp's canvases and work space, the copy that it returns, and the Pillow image
_WEBP_BYTES_PER_PIXEL = 18

# Tags of TIFF files
_BITS_PER_SAMPLE, _SAMPLES_PER_PIXEL = 258, 277
_ROWS_PER_STRIP, _TILE_WIDTH, _TILE_HEIGHT = 278, 322, 323
_SUBDIRECTORY_TAGS = frozenset({34665, 34853, 40965})  # EXIF, GPS, interoperability
_ONE_BYTE_TYPES = frozenset({1, 2, 7})
_MAX_TAG_NUMBERS = 1 << 18  # Pillow makes a Python object of each
_MAX_TAG_BYTES = 1 << 24

_JPEG_START_OF_SCAN = b"\xff\xda"


class BoundedFile(io.BytesIO):
    """A file in memory with a limited number of reads and bytes.

    A header may consist of a million comments or empty chunks, or may refer to the same bytes
    again and again.
    """

    def __init__(self, content: bytes) -> None:
        """Allow as much reading as a header needs."""
        io.BytesIO.__init__(self, content)  # super() would take noticeable time for small images
        self._calls_left = _HEADER_READ_CALLS
        self._bytes_left = _HEADER_READ_BYTES
        if content.startswith(b"RIFF"):  # a WebP file is read whole when it is opened
            self._bytes_left += len(content)

    def allow_pixels(self) -> None:
        """Allow as much reading as pixels need, from now on."""
        self._calls_left = _PIXEL_READ_CALLS
        self._bytes_left = _PIXEL_READ_BYTES

    def read(self, size: int | None = -1) -> bytes:
        """Read like `io.BytesIO.read`.

        Raises:
            OSError: the limit is reached.
        """
        data = io.BytesIO.read(self, size)
        self._calls_left -= 1
        self._bytes_left -= len(data)
        if self._calls_left < 0 or self._bytes_left < 0:
            raise OSError("it has too many parts")
        return data


def check_size(size: tuple[int, int]) -> None:
    """Raise an ImageError if an image of that width and height is too large."""
    width, height = size
    if width * height > MAX_PIXELS or max(size) > MAX_SIDE:
        raise ImageError(
            f"is too large ({width}x{height}, at most {MAX_PIXELS / 1e6:.0f} megapixels "
            f"and {MAX_SIDE} a side): save it smaller"
        )


def check_memory(memory_bytes: int, size: tuple[int, int]) -> None:
    """Raise an ImageError if decoding would take more memory than the limit."""
    if memory_bytes > _MAX_MEMORY_BYTES:
        raise _too_expensive(size)


def check_decoder_speed(image: Any, size: tuple[int, int]) -> None:
    """Raise an ImageError if Pillow would decode a large image in Python."""
    width, height = size
    if width * height > _MAX_PIXELS_DECODED_IN_PYTHON and any(
        tile[0] in Image.DECODERS for tile in image.tile
    ):
        raise _too_expensive(size)


def _too_expensive(size: tuple[int, int]) -> ImageError:
    return ImageError(
        f"takes too much to decode ({size[0]}x{size[1]}): save it smaller, or as PNG or JPEG"
    )


def decoded_bytes(image: Any) -> int:
    """Return the bytes that the decoded pixels will take."""
    bytes_per_pixel = 1 if image.mode in {"1", "L", "P"} else 4
    pixels: int = image.width * image.height
    return pixels * bytes_per_pixel


def decoder_bytes(image_format: ImageFormat, image: Any, content: bytes, offset: int) -> int:
    """Return the bytes, as measured, that a decoder takes besides the file and the image.

    Args:
        image_format: of the file.
        image: the Pillow image, opened but not loaded.
        content: the file.
        offset: how far Pillow has read the file.

    Raises:
        ImageError: a JPEG file has too many scans.
    """
    if image_format == "Jpeg":
        return _jpeg_coefficient_bytes(image, content, offset)
    pixels: int = image.width * image.height
    if image_format == "Gif":  # the canvas on which the next frame would be drawn
        return 2 * pixels
    if image_format == "Tiff":
        is_turned = image.tag_v2.get(ORIENTATION_TAG, 1) != 1
        return _tiff_block_bytes(image) + (4 * pixels if is_turned else 0)
    return 0


def _jpeg_coefficient_bytes(image: Any, content: bytes, offset: int) -> int:
    """Return the bytes that libjpeg keeps of a file with several scans; 0 if it has one."""
    if content.count(_JPEG_START_OF_SCAN) > _MAX_JPEG_SCANS:
        raise ImageError("has too many scans: save it again")
    first_scan = content.rfind(_JPEG_START_OF_SCAN, 0, offset)  # Pillow has just read it
    if "progressive" not in image.info and content[first_scan + 4] == image.layers:
        return 0
    factors = [horizontal * vertical for _, horizontal, vertical, _ in image.layer]
    return int(2 * image.width * image.height * sum(factors) / max(1, *factors))


def check_webp_header(content: bytes) -> None:
    """Raise an ImageError if a WebP file is too large.

    This is checked before the file is opened: libwebp takes its memory as soon as it knows the
    size.
    """
    chunk_kind, body = content[15:16], content[20:30].ljust(10, b"\0")
    if chunk_kind == b"X":  # extended: 24 bits each, less 1
        width, height = (1 + int.from_bytes(body[at : at + 3], "little") for at in (4, 7))
    elif chunk_kind == b"L":  # lossless: 14 bits each, less 1
        bits = int.from_bytes(body[1:5], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:  # lossy: 14 bits each
        width, height = (int.from_bytes(body[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    check_size((width, height))
    check_memory(len(content) + _WEBP_BYTES_PER_PIXEL * width * height, (width, height))


def check_tiff_tags(content: bytes) -> None:
    """Raise an ImageError if the tags of a TIFF file are too large: Pillow reads all of them."""
    numbers = tag_bytes = 0
    pending: list[int | None] = [None]
    for start in pending:
        for tag in read_tiff_directory(content, start):
            if tag.type in _ONE_BYTE_TYPES:
                tag_bytes += tag.value_count
            else:
                numbers += tag.value_count
            if start is None and tag.number in _SUBDIRECTORY_TAGS:
                pending.append(tag.value)
    if numbers > _MAX_TAG_NUMBERS or tag_bytes > _MAX_TAG_BYTES:
        raise ImageError("has TIFF tags that are too large: save it as PNG or JPEG")


def _tiff_block_bytes(image: Any) -> int:
    """Return the bytes of one strip or tile, which libtiff decodes at once."""
    tags = image.tag_v2
    rows = min(tags.get(_ROWS_PER_STRIP, image.height), image.height)
    pixels = tags.get(_TILE_WIDTH, image.width) * tags.get(_TILE_HEIGHT, rows)
    samples = tags.get(_SAMPLES_PER_PIXEL, 1)
    return int(pixels * samples * max(tags.get(_BITS_PER_SAMPLE, (1,))) // 8)
