from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from fmx_runtime.images.decode import ImageLike, open_image

if TYPE_CHECKING:
    from numpy.typing import NDArray


# every level from 0 to 255 once, in 16 rows
LEVELS = np.arange(256, dtype=np.uint8).reshape(16, 16)


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """Return the image as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def gray(source: ImageLike) -> NDArray[np.uint8]:
    """Return what is opened in gray, as an array."""
    return np.asarray(open_image(source, "L"))


def max_difference(array: NDArray[np.generic], expected: NDArray[np.generic]) -> int:
    """Return the largest difference between two images."""
    assert array.shape == expected.shape
    return int(abs(array.astype(np.int64) - expected.astype(np.int64)).max())


TURNED = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(np.transpose(upright), 2),
    8: lambda upright: np.rot90(upright, 3),
}
"""How a camera stores an upright image, by EXIF orientation."""


def exif(orientation: int) -> Image.Exif:
    """Return EXIF data with that orientation."""
    data = Image.Exif()
    data[274] = orientation
    return data


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "image"])
@pytest.mark.parametrize("orientation", TURNED)
def test_exif_orientation(orientation: int, form: str) -> None:
    """Each orientation gives the upright image, also in JPEG files that are read reduced."""
    upright = np.zeros((64, 96), np.uint8)
    upright[:32, :48], upright[:32, 48:], upright[32:, :48] = 200, 130, 70
    stored = Image.fromarray(np.ascontiguousarray(TURNED[orientation](upright)))
    if form == "image":
        stored.getexif()[274] = orientation
        source: ImageLike = stored
    else:
        options = {"lossless": True} if form == "WEBP" else {}
        source = encoded(stored, form, exif=exif(orientation), **options)
    assert max_difference(gray(source), upright) <= (2 if form == "JPEG" else 0)
    if form == "JPEG":
        quarter = np.asarray(open_image(source, "L", 16))
        assert max_difference(quarter, upright[::4, ::4]) <= 2


def test_imagemagick_exif() -> None:
    """EXIF data stored in a PNG file as text in hexadecimal digits is read too."""
    data = exif(3).tobytes()
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(data):8}\n{data.hex()}\n")
    file = encoded(Image.fromarray(LEVELS), pnginfo=text)
    assert np.array_equal(gray(file), np.rot90(LEVELS, 2))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(
    "damaged",
    [
        b"nonsense",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
        exif(3).tobytes()[6:-8],
        exif(77).tobytes()[6:],
    ],
)
def test_damaged_exif_is_ignored(damaged: bytes, form: str) -> None:
    """An image with damaged EXIF data is opened as it is stored."""
    file = encoded(Image.fromarray(LEVELS), form, exif=b"Exif\0\0" + damaged)
    plain = encoded(Image.fromarray(LEVELS), form)
    if form == "JPEG":  # which Pillow writes without EXIF if it does not understand it
        start = plain[:2]
        segment = b"Exif\0\0" + damaged
        file = start + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]
    assert damaged in file
    assert np.array_equal(gray(file), gray(plain))
