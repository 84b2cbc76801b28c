"""Small images of all color modes, made here: these tests need neither a model nor data."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import PIL
import pytest
from PIL import Image

from fmx_runtime.images import color
from fmx_runtime.images.decode import ImageLike, open_image

if TYPE_CHECKING:
    from numpy.typing import NDArray


# every level from 0 to 255 once, in 16 rows
LEVELS = np.arange(256, dtype=np.uint8).reshape(16, 16)


RED_HALF = np.zeros((16, 16, 3), np.uint8)
RED_HALF[:, 8:] = (200, 10, 30)


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """Return the image as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def gray(source: ImageLike) -> NDArray[np.uint8]:
    """Return what is opened in gray, as an array."""
    return np.asarray(open_image(source, "L"))


def colors(source: ImageLike) -> NDArray[np.uint8]:
    """Return what is opened in RGB, as an array."""
    return np.asarray(open_image(source, "RGB"))


def max_difference(array: NDArray[np.generic], expected: NDArray[np.generic]) -> int:
    """Return the largest difference between two images."""
    assert array.shape == expected.shape
    return int(abs(array.astype(np.int64) - expected.astype(np.int64)).max())


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def deep_png(pixels: NDArray[np.uint16], color_type: int, *parts: bytes) -> bytes:
    """Return a PNG file of 16 bits a channel; Pillow reads most kinds but does not write them."""
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, color_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    begin, *rest = (chunk(kind, data) for kind, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + begin + b"".join(parts) + b"".join(rest)


def tiff(pixels: NDArray[np.generic], sample_format: int) -> bytes:
    """Return an uncompressed gray TIFF file of any dtype, little-endian."""
    height, width = pixels.shape
    tags = {
        256: width,
        257: height,
        258: pixels.itemsize * 8,
        259: 1,
        262: 1,
        273: 8 + 2 + 12 * 9 + 4,
        278: height,
        279: pixels.nbytes,
        339: sample_format,
    }
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    return head + directory + bytes(4) + pixels.tobytes()


def in_mode(mode: str, array: NDArray[np.uint8]) -> Image.Image:
    """Return a Pillow image in that mode."""
    return Image.fromarray(array).convert(mode)


GRAYS: dict[str, tuple[ImageLike, int]] = {
    "16 bits, PNG": (deep_png(LEVELS.astype(np.uint16) << 8 | 0x7F, 0), 0),
    "16 bits with alpha, PNG": (
        deep_png(
            np.dstack(
                [LEVELS.astype(np.uint16) << 8 | 0x7F, np.full_like(LEVELS, 65535, np.uint16)]
            ),
            4,
        ),
        0,
    ),
    "16 bits in color, PNG": (
        deep_png(np.dstack([LEVELS.astype(np.uint16) << 8 | 0x7F] * 3), 2),
        0,
    ),
    "16 bits, TIFF": (encoded(Image.fromarray(LEVELS * np.uint16(257)), "TIFF"), 0),
    "16 bits, big-endian": (
        encoded(Image.fromarray((LEVELS * np.uint16(257)).astype(">u2")), "TIFF"),
        0,
    ),
    "16 bits, image": (Image.fromarray(LEVELS * np.uint16(257)), 0),
    "16 bits, PGM": (b"P5 16 16 65535\n" + (LEVELS * np.uint16(257)).astype(">u2").tobytes(), 0),
    "10 bits, PGM": (b"P5 16 16 1023\n" + (LEVELS * np.uint16(4)).astype(">u2").tobytes(), 1),
    "in digits, PGM": (b"P2 # text\n16 16 255 " + b" ".join(b"%d" % x for x in range(256)), 0),
    "32 bits of which 8 are used": (tiff(LEVELS.astype(np.int32), 2), 0),
    "32 bits of which 16 are used": (tiff(LEVELS.astype(np.int32) * 257, 2), 0),
    "32 bits of which 31 are used": (tiff(LEVELS.astype(np.int32) << 23, 2), 0),
    "32 bits": (tiff(LEVELS.astype(np.uint32) << 24, 1), 0),
    "32 bits, image": (in_mode("I", LEVELS), 0),
    "floats to 1": (tiff(LEVELS.astype(np.float32) / 255, 3), 0),
    "floats to 255": (tiff(LEVELS.astype(np.float32), 3), 0),
    "floats to 65535": (tiff(LEVELS.astype(np.float32) * 257, 3), 0),
    "floats, PFM": (b"Pf\n16 16\n-1.0\n" + (LEVELS[::-1] / 255).astype("<f4").tobytes(), 0),
    "floats, image": (in_mode("F", LEVELS), 0),
    "CMYK, TIFF": (encoded(in_mode("CMYK", LEVELS), "TIFF"), 0),
    "CMYK, JPEG": (encoded(in_mode("CMYK", LEVELS), "JPEG", quality=100), 2),
    "gray, JPEG": (encoded(Image.fromarray(LEVELS), "JPEG", quality=100), 2),
    "color, JPEG": (encoded(in_mode("RGB", LEVELS), "JPEG", quality=100), 2),
    "YCbCr, image": (in_mode("YCbCr", LEVELS), 1),
    "HSV": (in_mode("HSV", np.dstack([LEVELS] * 3)), 0),
    "WebP": (encoded(in_mode("RGB", LEVELS), "WEBP", lossless=True), 0),
    "GIF": (encoded(Image.fromarray(LEVELS), "GIF"), 0),
    "BMP": (encoded(Image.fromarray(LEVELS), "BMP"), 0),
    "palette": (encoded(in_mode("P", LEVELS)), 0),
    "array": (LEVELS, 0),
}


@pytest.mark.parametrize("name", GRAYS)
def test_gray_levels_of_every_kind_of_file(name: str) -> None:
    """All 256 gray levels come out of each kind of file, in gray and in RGB."""
    if name in {"10 bits, PGM", "floats, PFM"} and int(PIL.__version__.split(".")[0]) < 11:
        pytest.skip("Pillow reads it right from version 11 on")
    source, tolerance = GRAYS[name]
    assert max_difference(gray(source), LEVELS) <= tolerance
    assert max_difference(colors(source), np.dstack([LEVELS] * 3)) <= tolerance


@pytest.mark.parametrize(
    ("image", "tolerance"),
    [
        (encoded(Image.fromarray(RED_HALF)), 0),
        (encoded(Image.fromarray(RED_HALF).quantize(2)), 0),
        (deep_png(RED_HALF.astype(np.uint16) << 8 | 0x7F, 2), 0),
        (encoded(in_mode("CMYK", RED_HALF), "TIFF"), 0),
        (encoded(in_mode("CMYK", RED_HALF), "JPEG", quality=100), 3),
        (encoded(Image.fromarray(RED_HALF), "JPEG", quality=100, subsampling=0), 3),
        (in_mode("YCbCr", RED_HALF), 2),
        (in_mode("HSV", RED_HALF), 3),
        (in_mode("RGBX", RED_HALF), 0),
        (b"P6 16 16 255\n" + RED_HALF.tobytes(), 0),
    ],
    ids=["RGB", "P", "16 bits", "CMYK", "CMYK JPEG", "JPEG", "YCbCr", "HSV", "RGBX", "PPM"],
)
def test_colors_of_every_kind_of_file(image: ImageLike, tolerance: int) -> None:
    """Black and red are decoded from each kind of file, in their places."""
    assert max_difference(colors(image), RED_HALF) <= tolerance


def test_nan_and_infinity() -> None:
    """NaN becomes black, infinity white, and the other pixels do not change."""
    values = LEVELS.astype(np.float32) / 255
    values[0, :3] = np.nan, -np.inf, np.inf
    expected = LEVELS.copy()
    expected[0, :3] = 0, 0, 255
    assert np.array_equal(gray(tiff(values, 3)), expected)
    nothing = np.full((16, 16), np.nan, np.float32)
    assert not gray(tiff(nothing, 3)).any()


def test_dark_16_bit_images_stay_dark() -> None:
    """If white is 65535, values up to 255 are next to black."""
    dark = LEVELS.astype(np.uint16)
    assert not gray(deep_png(dark, 0)).any()
    assert not gray(b"P5 16 16 65535\n" + dark.astype(">u2").tobytes()).any()
    assert not gray(encoded(Image.fromarray(dark), "TIFF")).any()


ALPHA = np.repeat(np.array([[0, 1, 90, 128, 200, 254, 255, 255]], np.uint8), 2, axis=1)
ALPHA = np.repeat(ALPHA, 16, axis=0)


def with_alpha(mode: str) -> Image.Image:
    """Return the gray levels, transparent on the left and opaque on the right."""
    image = Image.merge("LA", [Image.fromarray(LEVELS), Image.fromarray(ALPHA)])
    if mode == "La":
        return image.convert("La")
    return image.convert("RGBA").convert(mode)


@pytest.mark.parametrize("form", ["LA", "RGBA", "La", "RGBa", "PNG", "WEBP", "TIFF", "palette"])
def test_alpha_is_blended_onto_white(form: str) -> None:
    """Transparent pixels are blended onto white, however alpha is stored."""
    expected = (LEVELS.astype(float) * ALPHA + 255.0 * (255 - ALPHA)) / 255
    if form == "palette":
        image = in_mode("P", LEVELS)
        table = np.linspace(0, 255, 256).astype(np.uint8)
        expected = (LEVELS.astype(float) * table[LEVELS] + 255.0 * (255 - table[LEVELS])) / 255
        source: ImageLike = encoded(image, transparency=table.tobytes())
    elif len(form) == 4 and form not in {"RGBA", "RGBa"}:
        options = {"lossless": True, "exact": True} if form == "WEBP" else {}
        source = encoded(with_alpha("RGBA"), form, **options)
    else:
        source = encoded(with_alpha("RGBA")) if form == "PNG" else with_alpha(form)
    assert max_difference(gray(source), np.rint(expected)) <= 1
    assert max_difference(colors(source), np.rint(np.dstack([expected] * 3))) <= 1


def test_palettes_with_alpha() -> None:
    """RGBA palettes, and images of palette and alpha, are blended onto white."""
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 0], "RGBA")
    image.putdata([0, 1])
    assert gray(image).tolist() == [[0, 255]]
    both = Image.new("PA", (2, 1))
    both.putpalette([10, 10, 10] * 256)
    both.putdata([(1, 0), (1, 255)])
    assert gray(both).tolist() == [[255, 10]]


@pytest.mark.parametrize("color_type", [0, 2])
@pytest.mark.parametrize("bits", [1, 8, 16])
def test_transparent_color(bits: int, color_type: int) -> None:
    """In PNG files without alpha, one color may be transparent; its pixels become white."""
    if bits == 1:
        file = encoded(Image.fromarray(LEVELS > 99), transparency=0)
        assert gray(file).min() == 255
    elif bits == 8:
        image = in_mode("L" if color_type == 0 else "RGB", LEVELS)
        key = 3 if color_type == 0 else (3, 3, 3)
        expected = np.where(LEVELS == 3, 255, LEVELS)
        assert np.array_equal(gray(encoded(image, transparency=key)), expected)
    elif color_type == 0:
        deep = LEVELS * np.uint16(257)
        file = deep_png(deep, 0, chunk(b"tRNS", struct.pack(">H", 3 * 257)))
        assert np.array_equal(gray(file), np.where(LEVELS == 3, 255, LEVELS))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16", "CMYK", "F", "1"])
@pytest.mark.parametrize("size", [(1000, 640), (641, 1001), (40, 3000), (3000, 1)])
def test_large_images_are_averaged_down(mode: str, size: tuple[int, int]) -> None:
    """Images are reduced by a power of two that leaves the shorter side the pixels asked for."""
    image = Image.new("L", size, 200)
    image.paste(40, (0, 0, size[0] // 2, size[1]))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    opened = open_image(image, "L", 30)
    factor = {640: 16, 641: 16, 40: 1, 1: 1}[min(size)]
    assert opened.size == tuple(-(-side // factor) for side in size)
    whole = gray(image)
    middle = whole[factor // 2 :: factor, factor // 2 :: factor]
    if mode != "1":
        part = np.asarray(opened)[: middle.shape[0], : middle.shape[1]]
        changing = abs(np.arange(part.shape[1]) * factor - size[0] // 2) < 2 * factor
        assert max_difference(part[:, ~changing], middle[:, ~changing]) == 0


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16", "F"])
def test_strips_leave_no_seams(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image converted in many strips has the pixels of one converted at once."""
    pixels = np.random.default_rng(0).integers(0, 255, (413, 300), np.uint8)
    if mode == "I;16":
        image = Image.fromarray(pixels.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(pixels).convert(mode)
    at_once = np.asarray(open_image(image, "RGB", 70))
    monkeypatch.setattr(color, "_STRIP_PIXELS", 5000)
    assert np.array_equal(np.asarray(open_image(image, "RGB", 70)), at_once)
    assert at_once.shape == (104, 75, 3)
