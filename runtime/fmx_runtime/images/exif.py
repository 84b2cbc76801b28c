"""EXIF orientation, read without Pillow's full EXIF parser.

EXIF is a TIFF directory: a list of tags of 12 bytes each. Only the first directory is read, and
only the orientation is taken from it, so hostile EXIF data costs nothing. `read_tiff_directory` is
also used to check the tags of TIFF files, see `fmx_runtime.images.limits`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ORIENTATION_TAG",
    "TiffTag",
    "hide_jpeg_exif",
    "read_orientation",
    "read_tiff_directory",
    "turn_upright",
]

ORIENTATION_TAG = 274

_EXIF_HEADER = b"Exif\0\0"
_HIDDEN_EXIF_HEADER = b"exif\0\0"
_JPEG_START_OF_SCAN = b"\xff\xda"
_JPEG_SEGMENT_BYTES = 1 << 16  # no segment of a JPEG file, EXIF among them, is longer
_SHORT_TYPE = 3  # a tag's values are 16-bit integers

# The transposition that turns an image with an orientation of 2 to 8 upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class TiffTag(NamedTuple):
    """One entry of a TIFF directory.

    Attributes:
        number: what the entry means.
        type: the data type of its values, by TIFF's number.
        value_count: the number of its values.
        value: the value if it fits into 4 bytes, otherwise the offset of the values.
    """

    number: int
    type: int
    value_count: int
    value: int


def read_tiff_directory(data: bytes, start: int | None = None) -> Iterator[TiffTag]:
    """Yield the tags of one TIFF directory.

    Args:
        data: a TIFF file or EXIF data without its header.
        start: the offset of the directory; None for the first directory.

    Raises:
        struct.error: the directory does not end within the data.
    """
    byte_order = "<" if data.startswith(b"II") else ">"
    if start is None:
        (start,) = struct.unpack_from(f"{byte_order}I", data, 4)
    (tags,) = struct.unpack_from(f"{byte_order}H", data, start)
    for offset in range(start + 2, start + 2 + 12 * tags, 12):
        number, kind, count = struct.unpack_from(f"{byte_order}HHI", data, offset)
        value_format = "H" if kind == _SHORT_TYPE else "I"
        (value,) = struct.unpack_from(f"{byte_order}{value_format}", data, offset + 8)
        yield TiffTag(number, kind, count, value)


def hide_jpeg_exif(content: bytes) -> bytes:
    """Hide the EXIF data of a JPEG file from Pillow, which would parse all of it."""
    return content.replace(_EXIF_HEADER, _HIDDEN_EXIF_HEADER)


def read_orientation(source: bytes | Image.Image, image: Image.Image) -> int:
    """Return the EXIF orientation of an image, 1 to 8.

    Args:
        source: the encoded file, or a Pillow image that the caller gave.
        image: the image opened from ``source``.

    Returns:
        1, which means upright, also if there is no orientation or the EXIF data is damaged.
    """
    if image.format == "TIFF":  # Pillow has turned it upright already, in no other format
        return 1
    try:
        if not isinstance(source, bytes):
            return int(image.getexif().get(ORIENTATION_TAG, 1))
        exif = _find_exif(source, image)
        tags = read_tiff_directory(exif) if exif else ()
        return next((tag.value for tag in tags if tag.number == ORIENTATION_TAG), 1)
    except Exception:  # noqa: BLE001  Pillow and struct raise many types for absurd values
        return 1


def turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    """Return the image turned and mirrored as its EXIF orientation asks for."""
    transpose = _UPRIGHT.get(orientation)
    return image if transpose is None else image.transpose(transpose)


def _find_exif(content: bytes, image: Image.Image) -> bytes:
    """Return the EXIF data from its TIFF header on; empty if there is none."""
    if image.format == "JPEG":
        start = content.find(_EXIF_HEADER, 0, content.find(_JPEG_START_OF_SCAN))
        if start < 0:
            return b""
        return content[start + len(_EXIF_HEADER) : start + _JPEG_SEGMENT_BYTES]
    exif: bytes = image.info.get("exif", b"")
    # ImageMagick writes EXIF into PNG files as text: three lines, and then hexadecimal digits
    if profile := image.info.get("Raw profile type exif"):
        exif = bytes.fromhex("".join(profile.split("\n")[3:]))
    return exif.removeprefix(_EXIF_HEADER)
