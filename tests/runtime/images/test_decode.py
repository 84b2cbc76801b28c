"""Images of all kinds, small and made here: these tests need neither a model nor data."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import socket
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import PIL
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from fmx_runtime.errors import ImageError
from fmx_runtime.images import decode
from fmx_runtime.images.decode import open_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# every level from 0 to 255 once, in 16 rows
LEVELS = np.arange(256, dtype=np.uint8).reshape(16, 16)
RED_HALF = np.zeros((16, 16, 3), np.uint8)
RED_HALF[:, 8:] = (200, 10, 30)


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """The image as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def gray(source: decode.ImageLike) -> NDArray[np.uint8]:
    """What is opened in gray, as an array."""
    return np.asarray(open_image(source, "L"))


def colours(source: decode.ImageLike) -> NDArray[np.uint8]:
    """What is opened in colour, as an array."""
    return np.asarray(open_image(source, "RGB"))


def off_by(array: NDArray[np.generic], expected: NDArray[np.generic]) -> int:
    """The largest difference between two images."""
    assert array.shape == expected.shape
    return int(abs(array.astype(np.int64) - expected.astype(np.int64)).max())


def chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def deep_png(pixels: NDArray[np.uint16], colour_type: int, *parts: bytes) -> bytes:
    """A PNG file of 16 bits a channel, most of which Pillow reads but does not write."""
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    begin, *rest = (chunk(kind, data) for kind, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + begin + b"".join(parts) + b"".join(rest)


def tiff(pixels: NDArray[np.generic], sample_format: int) -> bytes:
    """An uncompressed gray TIFF file of any numbers, little-endian."""
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
    """A Pillow image in that mode."""
    return Image.fromarray(array).convert(mode)


GRAYS: dict[str, tuple[decode.ImageLike, int]] = {
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
    "16 bits in colour, PNG": (
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
    "colour, JPEG": (encoded(in_mode("RGB", LEVELS), "JPEG", quality=100), 2),
    "YCbCr, image": (in_mode("YCbCr", LEVELS), 1),
    "HSV": (in_mode("HSV", np.dstack([LEVELS] * 3)), 0),
    "WebP": (encoded(in_mode("RGB", LEVELS), "WEBP", lossless=True), 0),
    "GIF": (encoded(Image.fromarray(LEVELS), "GIF"), 0),
    "BMP": (encoded(Image.fromarray(LEVELS), "BMP"), 0),
    "palette": (encoded(in_mode("P", LEVELS)), 0),
    "array": (LEVELS, 0),
}


@pytest.mark.parametrize("name", GRAYS)
def test_every_way_to_store_grays(name: str) -> None:
    """The 256 levels of gray come out of each kind of file, and as three equal colours."""
    if name in {"10 bits, PGM", "floats, PFM"} and int(PIL.__version__.split(".")[0]) < 11:
        pytest.skip("Pillow reads it right from version 11 on")
    source, tolerance = GRAYS[name]
    assert off_by(gray(source), LEVELS) <= tolerance
    assert off_by(colours(source), np.dstack([LEVELS] * 3)) <= tolerance


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
def test_every_way_to_store_colours(image: decode.ImageLike, tolerance: int) -> None:
    """Black and red come out of each kind of file, in their places."""
    assert off_by(colours(image), RED_HALF) <= tolerance


def test_floats_that_are_no_numbers() -> None:
    """What is no number is black, infinity is white, and neither changes the other pixels."""
    values = LEVELS.astype(np.float32) / 255
    values[0, :3] = np.nan, -np.inf, np.inf
    expected = LEVELS.copy()
    expected[0, :3] = 0, 0, 255
    assert np.array_equal(gray(tiff(values, 3)), expected)
    nothing = np.full((16, 16), np.nan, np.float32)
    assert not gray(tiff(nothing, 3)).any()


def test_dark_files_of_16_bits_stay_dark() -> None:
    """Where a file says that white is 65535, values up to 255 are next to black."""
    dark = LEVELS.astype(np.uint16)
    assert not gray(deep_png(dark, 0)).any()
    assert not gray(b"P5 16 16 65535\n" + dark.astype(">u2").tobytes()).any()
    assert not gray(encoded(Image.fromarray(dark), "TIFF")).any()


ALPHA = np.repeat(np.array([[0, 1, 90, 128, 200, 254, 255, 255]], np.uint8), 2, axis=1)
ALPHA = np.repeat(ALPHA, 16, axis=0)


def with_alpha(mode: str) -> Image.Image:
    """The levels of gray, the left columns transparent and the right ones not."""
    image = Image.merge("LA", [Image.fromarray(LEVELS), Image.fromarray(ALPHA)])
    if mode == "La":
        return image.convert("La")
    return image.convert("RGBA").convert(mode)


@pytest.mark.parametrize("form", ["LA", "RGBA", "La", "RGBa", "PNG", "WEBP", "TIFF", "palette"])
def test_alpha_is_laid_on_white(form: str) -> None:
    """What shows through is white, by so much as it does, however alpha is stored."""
    expected = (LEVELS.astype(float) * ALPHA + 255.0 * (255 - ALPHA)) / 255
    if form == "palette":
        image = in_mode("P", LEVELS)
        table = np.linspace(0, 255, 256).astype(np.uint8)
        expected = (LEVELS.astype(float) * table[LEVELS] + 255.0 * (255 - table[LEVELS])) / 255
        source: decode.ImageLike = encoded(image, transparency=table.tobytes())
    elif len(form) == 4 and form not in {"RGBA", "RGBa"}:
        options = {"lossless": True, "exact": True} if form == "WEBP" else {}
        source = encoded(with_alpha("RGBA"), form, **options)
    else:
        source = encoded(with_alpha("RGBA")) if form == "PNG" else with_alpha(form)
    assert off_by(gray(source), np.rint(expected)) <= 1
    assert off_by(colours(source), np.rint(np.dstack([expected] * 3))) <= 1


def test_palettes_with_alpha() -> None:
    """A palette with an alpha of its own, and an image of palette and alpha, are laid on white."""
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 0], "RGBA")
    image.putdata([0, 1])
    assert gray(image).tolist() == [[0, 255]]
    both = Image.new("PA", (2, 1))
    both.putpalette([10, 10, 10] * 256)
    both.putdata([(1, 0), (1, 255)])
    assert gray(both).tolist() == [[255, 10]]


@pytest.mark.parametrize("colour_type", [0, 2])
@pytest.mark.parametrize("bits", [1, 8, 16])
def test_a_colour_that_means_transparent(bits: int, colour_type: int) -> None:
    """In PNG files without alpha, one value may stand for transparency; pixels of it are white."""
    if bits == 1:
        file = encoded(Image.fromarray(LEVELS > 99), transparency=0)
        assert gray(file).min() == 255
    elif bits == 8:
        image = in_mode("L" if colour_type == 0 else "RGB", LEVELS)
        key = 3 if colour_type == 0 else (3, 3, 3)
        expected = np.where(LEVELS == 3, 255, LEVELS)
        assert np.array_equal(gray(encoded(image, transparency=key)), expected)
    elif colour_type == 0:
        deep = LEVELS * np.uint16(257)
        file = deep_png(deep, 0, chunk(b"tRNS", struct.pack(">H", 3 * 257)))
        assert np.array_equal(gray(file), np.where(LEVELS == 3, 255, LEVELS))


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
"""How a camera stores what is upright, by EXIF's number."""


def exif(orientation: int) -> Image.Exif:
    """EXIF that says how an image is to be turned."""
    data = Image.Exif()
    data[274] = orientation
    return data


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "image"])
@pytest.mark.parametrize("orientation", TURNED)
def test_cameras_are_believed(orientation: int, form: str) -> None:
    """Each of EXIF's eight turns gives the upright image, large JPEG files included."""
    upright = np.zeros((64, 96), np.uint8)
    upright[:32, :48], upright[:32, 48:], upright[32:, :48] = 200, 130, 70
    stored = Image.fromarray(np.ascontiguousarray(TURNED[orientation](upright)))
    if form == "image":
        stored.getexif()[274] = orientation
        source: decode.ImageLike = stored
    else:
        options = {"lossless": True} if form == "WEBP" else {}
        source = encoded(stored, form, exif=exif(orientation), **options)
    assert off_by(gray(source), upright) <= (2 if form == "JPEG" else 0)
    if form == "JPEG":
        quarter = np.asarray(open_image(source, "L", 16))
        assert off_by(quarter, upright[::4, ::4]) <= 2


def test_the_exif_of_imagemagick() -> None:
    """EXIF that is stored in a PNG file as text in hexadecimal digits counts as well."""
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
def test_damaged_exif_is_passed_over(damaged: bytes, form: str) -> None:
    """An image whose EXIF makes no sense is shown as it is stored."""
    file = encoded(Image.fromarray(LEVELS), form, exif=b"Exif\0\0" + damaged)
    plain = encoded(Image.fromarray(LEVELS), form)
    if form == "JPEG":  # which Pillow writes without EXIF if it does not understand it
        start = plain[:2]
        segment = b"Exif\0\0" + damaged
        file = start + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]
    assert damaged in file
    assert np.array_equal(gray(file), gray(plain))


def animated(form: str) -> bytes:
    """The levels, and then two frames or pages of other things."""
    frames = [Image.fromarray(LEVELS)] + [Image.fromarray(LEVELS.T // x) for x in (2, 3)]
    options = {"lossless": True} if form == "WEBP" else {}
    return encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_is_taken(form: str) -> None:
    """Of animations and of documents with pages the first one is opened, whatever follows it."""
    file = animated(form)
    with Image.open(io.BytesIO(file)) as image:
        assert image.n_frames == 3
    assert np.array_equal(gray(file), LEVELS)
    if form == "GIF":
        assert np.array_equal(gray(file[:-150]), LEVELS)
        assert np.array_equal(gray(file[:-150] + bytes(150)), LEVELS)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16", "CMYK", "F", "1"])
@pytest.mark.parametrize("size", [(1000, 640), (641, 1001), (40, 3000), (3000, 1)])
def test_large_images_are_averaged_down(mode: str, size: tuple[int, int]) -> None:
    """By a power of two, the shorter side keeping the pixels asked for; none is where none fits."""
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
        assert off_by(part[:, ~changing], middle[:, ~changing]) == 0


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16", "F"])
def test_strips_leave_no_seams(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that is taken in many strips gives the pixels that it gives in one."""
    pixels = np.random.default_rng(0).integers(0, 255, (413, 300), np.uint8)
    if mode == "I;16":
        image = Image.fromarray(pixels.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(pixels).convert(mode)
    at_once = np.asarray(open_image(image, "RGB", 70))
    monkeypatch.setattr(decode, "_STRIP_PIXELS", 5000)
    assert np.array_equal(np.asarray(open_image(image, "RGB", 70)), at_once)
    assert at_once.shape == (104, 75, 3)


def test_what_is_given_stays_as_it_is() -> None:
    """Neither a Pillow image nor an array is changed."""
    image = with_alpha("RGBA")
    image.getexif()[274] = 3
    before = image.tobytes()
    open_image(image, "L", 4)
    assert (image.mode, image.size, image.tobytes()) == ("RGBA", (16, 16), before)
    assert image.getexif()[274] == 3


def refusal(image: decode.ImageLike) -> str:
    """The one line with which an image is refused."""
    with pytest.raises(ImageError) as caught:
        open_image(image, "L")
    (line,) = str(caught.value).splitlines()
    return line


def test_names_that_lead_to_no_file(tmp_path: Path) -> None:
    """Each kind of them is told from the others, with what to do."""
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("gone")
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("no image", "utf-8")
    expected = {
        "gone": "does not exist: check the name",
        "dangling": "does not exist: check the name",
        "text/in it": "cannot be opened: Not a directory: check the name",
        "loop": "is a link that leads back to itself: name the image that it should lead to",
        "empty": "is empty: copy the image again",
        "text": "is no image that can be read: save it as PNG, JPEG, WebP, GIF, BMP, TIFF or PPM",
        ".": "is a folder, not an image: name an image in it",
    }
    for name, message in expected.items():
        path = f"{tmp_path}/{name}"
        assert refusal(path) == f"'{path}' {message}"
    assert refusal("a\0b").startswith(r"'a\x00b' is no name of a file (")
    assert refusal("two\nlines\x1b") == r"'two\nlines\x1b' does not exist: check the name"
    assert "File name too long" in refusal("a" * 300)
    assert len(refusal("a" * 100_000)) < 600


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    """Pipes nobody writes into, sockets and devices that never end are refused at once."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to("pipe.png")
    for name in ("pipe.png", "link.png"):
        path = tmp_path / name
        said = "is a pipe, not an image: read it with 'fmx-run - < PIPE'"
        assert refusal(path) == f"'{path}' {said}"
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(tmp_path / "s"))
        assert refusal(tmp_path / "s").endswith("is a socket, not an image: name a file")
    for device in ("/dev/zero", "/dev/random", "/dev/null"):
        assert refusal(device) == f"'{device}' is a device, not an image: name a file"


def test_files_without_end_are_not_read(tmp_path: Path) -> None:
    """A file of a terabyte is refused by its size, and no file stays open."""
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(1 << 40)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        said = refusal(tmp_path / "large.png")
        refusal(tmp_path)
    assert said.endswith("(1,099,512 MB, at most 67): save the image smaller")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    "content",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n",
        b"%PDF-1.4\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        encoded(Image.fromarray(LEVELS), "ICO"),
        encoded(Image.fromarray(LEVELS), "TGA"),
        encoded(Image.fromarray(LEVELS), "PCX"),
        encoded(Image.fromarray(RED_HALF), "JPEG2000"),
    ],
)
def test_other_formats_are_not_opened(content: bytes, tmp_path: Path) -> None:
    """Whatever a file is called, its bytes decide, and only formats that people have are opened."""
    path = tmp_path / "image.png"
    path.write_bytes(content)
    assert "is no image that can be read: save it as" in refusal(path)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_a_wrong_extension_does_not_matter(form: str, tmp_path: Path) -> None:
    """An image is recognized by its bytes under any other format's name."""
    path = tmp_path / ("image.eps" if form == "PNG" else "image.png")
    path.write_bytes(encoded(Image.fromarray(RED_HALF), form))
    assert off_by(colours(path), colours(path.read_bytes())) == 0
    assert colours(path)[8, 12, 0] > 150


def test_only_what_is_needed_is_imported(tmp_path: Path) -> None:
    """To open a PNG file no other format's decoder is loaded, Ghostscript's least of all."""
    path = tmp_path / "image.png"
    Image.fromarray(LEVELS).save(path)
    code = """
import sys
from fmx_runtime.images.decode import open_image
open_image(sys.argv[1], "L")
print(sorted(x for x in sys.modules if x.endswith("ImagePlugin")))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert done.stdout == "['PIL.PngImagePlugin']\n"


def remarkable() -> list[bytes]:
    """Files that Pillow warns of, or logs as errors."""
    good = tiff(LEVELS, 1)
    tag = struct.Struct("<HHII").pack
    long = good.replace(tag(339, 4, 1, 1), tag(339, 2, 1 << 20, 1 << 30))
    deep = good.replace(tag(339, 4, 1, 1), tag(277, 4, 1, 9999))
    return [long, deep]


@pytest.mark.filterwarnings("always")
def test_pillows_remarks_are_kept_off(caplog: pytest.LogCaptureFixture) -> None:
    """What Pillow warns of and logs reaches nobody, in none of several threads, and only then."""
    files = remarkable()

    def by_pillow() -> None:
        for file in files:
            with contextlib.suppress(Exception), Image.open(io.BytesIO(file)) as image:
                image.load()

    def by_us() -> None:
        for file in files * 20:
            with contextlib.suppress(ImageError):
                open_image(file, "L")

    def remarks(work: Callable[[], None]) -> tuple[int, int]:
        caplog.clear()
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            filters = list(warnings.filters)
            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert warnings.filters == filters
        return len(warned), sum(x.levelno >= logging.WARNING for x in caplog.records)

    warned, logged = remarks(by_pillow)
    assert warned > 0
    assert logged > 0
    assert remarks(by_us) == (0, 0)
    assert remarks(by_pillow) == (warned, logged)


def test_pillows_settings_stay() -> None:
    """The process's limits and switches are the user's."""
    names = (
        (Image, "MAX_IMAGE_PIXELS"),
        (ImageFile, "LOAD_TRUNCATED_IMAGES"),
        (ImageFile, "MAXBLOCK"),
    )
    before = [getattr(module, name) for module, name in names]
    open_image(encoded(Image.new("1", (9600, 9600))), "L", 100)
    assert [getattr(module, name) for module, name in names] == before
    assert before[1] is False
