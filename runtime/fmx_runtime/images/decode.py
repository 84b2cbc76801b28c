"""An image, in whatever form it comes -> an upright Pillow image in gray or RGB.

Images come from strangers. So only still-image formats are opened, recognized by their first
bytes and never by a name; only regular files are, since a pipe or a device may never end; and what
decoding would take is reckoned from the header before any memory is used. Pillow's settings, which
are the whole process's, stay as they are.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import io
import logging
import os
import re
import stat
import struct
import threading
import warnings
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Union

import numpy as np
from PIL import Image

from fmx_runtime.errors import ImageError
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from numpy.typing import NDArray

__all__ = ["MOST_FILE_BYTES", "MOST_PIXELS", "MOST_SIDE", "ImageLike", "open_image"]

ImageLike = Union[str, "os.PathLike[str]", bytes, Image.Image, "NDArray[np.uint8]"]
"""A path, an encoded file's bytes, a Pillow image, or a uint8 array (h, w) or (h, w, 1 or 3)."""

MOST_PIXELS = 1 << 27
"""Larger images are refused: 134 megapixels, where telephones take 108 at most."""

MOST_SIDE = (1 << 16) - 1
"""So are wider and higher ones; this is where JPEG ends, too."""

MOST_FILE_BYTES = 1 << 26
"""So are larger files: 64 MiB."""

_MOST_MEMORY = 1 << 28  # bytes, of the file and all that becomes of it
_MOST_PIXELS_IN_PYTHON = 1 << 19  # Pillow decodes a few rare kinds in Python, slowly
_MOST_SCANS = 100  # of a JPEG file, which has 1 to 15, and each may go over the whole image
_SMALL = 1 << 16  # bytes of a PNG file that need no count
_STRIP_PIXELS = 1 << 20
_LONG_NAME = 512
_WEBP_BYTES = 18  # a pixel: libwebp's canvases and work space, what it hands over, and the image

# by their first bytes; Pillow has a class of that name in a module of that name
_FORMATS = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "Png"),
    (re.compile(rb"\xff\xd8\xff"), "Jpeg"),
    (re.compile(rb"RIFF....WEBPVP8", re.DOTALL), "WebP"),
    (re.compile(rb"GIF8[79]a"), "Gif"),
    (re.compile(rb"BM"), "Bmp"),
    (re.compile(rb"II\*\0|MM\0\*"), "Tiff"),
    (re.compile(rb"P[1-6f]\s"), "Ppm"),
)
_SAVE_AS = "save it as PNG, JPEG, WebP, GIF, BMP, TIFF or PPM"

_T = Image.Transpose
_TURNS = {
    2: _T.FLIP_LEFT_RIGHT,
    3: _T.ROTATE_180,
    4: _T.FLIP_TOP_BOTTOM,
    5: _T.TRANSPOSE,
    6: _T.ROTATE_270,
    7: _T.TRANSVERSE,
    8: _T.ROTATE_90,
}

# Pillow knows one way from each of these
_DETOURS = {"LAB": "RGB", "HSV": "RGB", "La": "LA", "RGBa": "RGBA"}
_WHITES = (1, (1 << 8) - 1, (1 << 16) - 1, (1 << 31) - 1, (1 << 32) - 1)

_EXIF = b"Exif\0\0"
# tags of TIFF, which EXIF is
_ORIENTATION, _SAMPLE_FORMAT, _BITS, _SAMPLES = 274, 339, 258, 277
_ROWS_PER_STRIP, _TILE_WIDTH, _TILE_HEIGHT = 278, 322, 323
_SUBDIRECTORIES = frozenset({34665, 34853, 40965})
_SHORT = 3
_ONE_BYTE_TYPES = frozenset({1, 2, 7})
_MOST_NUMBERS, _MOST_TAG_BYTES = 1 << 18, 1 << 24


def open_image(
    image: ImageLike, mode: Literal["L", "RGB"], detail: int | None = None
) -> Image.Image:
    """One image, upright, as 8-bit gray or RGB.

    - The first frame of an animation, or the first page of a document, is taken; the others are
      never decoded.
    - It is turned and mirrored as EXIF says. Damaged EXIF is no reason to refuse an image.
    - What is transparent is laid on white.
    - Of 16 bits the upper 8 count. Pixels of 32 bits, and floats, do not say what white is: it is
      the least of 255, 65535, 2^31 - 1 and 2^32 - 1, and of 1 for floats, that no pixel exceeds.
    - Colours are taken as sRGB whatever profile is embedded.
    - An image with more detail than the caller needs is averaged down by a power of two, JPEG
      files while they are decoded: it takes a fraction of the time and the memory.

    Args:
        image: see `ImageLike`.
        mode: of the result.
        detail: pixels that the shorter side keeps at least; None keeps all.

    Raises:
        ImageError: no regular file, no image, a damaged or too large one, or an array of
            another shape or dtype.
    """
    if isinstance(image, np.ndarray):
        return _flat(_from_array(image), mode, detail)
    source = image if isinstance(image, (bytes, Image.Image)) else os.fspath(image)
    try:
        return _upright(_content(source) if isinstance(source, str) else source, mode, detail)
    except ImageError as error:
        raise ImageError(f"{_name(source)} {error}") from error
    except MemoryError as error:
        raise ImageError(
            f"{_name(source)} does not fit into the memory: save it smaller"
        ) from error
    # decoders of broken files raise many kinds, SyntaxError and struct.error among them
    except Exception as error:
        said = "it cannot be decoded"
        if type(error) is OSError:  # in Pillow's own words
            said = error.strerror or error_summary(error)
        raise ImageError(f"{_name(source)} is damaged: {said}: copy or save it again") from error


def _name(source: str | bytes | Image.Image) -> str:
    """An image as messages call it: on one line, and not endlessly."""
    if not isinstance(source, str):
        return "the image"
    if len(source) > _LONG_NAME:
        source = f"{source[:200]}...{source[-200:]}"
    return f"'{source}'" if source.isprintable() else repr(source)


# files


def _content(path: str) -> bytes:
    """All of a file that has an end."""
    try:
        # not to wait for somebody to write into a pipe; no terminal shall become this process's
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        raise ImageError(_why_not(path, error)) from error
    try:
        # asked of what is open: the name may lead elsewhere by now
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"is {_kind(status.st_mode)}")
        if status.st_size > MOST_FILE_BYTES:
            raise ImageError(
                f"is too large a file ({status.st_size / 1e6:,.0f} MB, "
                f"at most {MOST_FILE_BYTES / 1e6:,.0f}): save the image smaller"
            )
        return _read(descriptor, status.st_size)
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror}: copy it again") from error
    finally:
        os.close(descriptor)


def _read(descriptor: int, size: int) -> bytes:
    """The first ``size`` bytes, fewer where the file has become shorter."""
    content = os.read(descriptor, size)
    while len(content) < size and (more := os.read(descriptor, size - len(content))):
        content += more
    return content


def _why_not(path: str, error: OSError | ValueError) -> str:
    """Why a file cannot be opened, and what to do."""
    if isinstance(error, ValueError):
        return f"is no name of a file ({error_summary(error)}): check the name"
    known = {
        errno.ENOENT: "does not exist: check the name",
        errno.ELOOP: "is a link that leads back to itself: name the image that it should lead to",
        errno.EACCES: "may not be read: allow it, for example with 'chmod a+r'",
    }
    if error.errno == errno.ENXIO:  # a socket, or a device that nothing drives
        return f"is {_kind(os.stat(path).st_mode)}"  # noqa: PTH116
    return known.get(error.errno or 0, f"cannot be opened: {error.strerror}: check the name")


def _kind(mode: int) -> str:
    """What a file is that is none to be read, and what to do."""
    if stat.S_ISDIR(mode):
        return "a folder, not an image: name an image in it"
    if stat.S_ISFIFO(mode):
        return "a pipe, not an image: read it with 'fmx-run - < PIPE'"
    what = "a socket" if stat.S_ISSOCK(mode) else "a device"
    return f"{what}, not an image: name a file"


# decoding


def _upright(source: bytes | Image.Image, mode: str, detail: int | None) -> Image.Image:
    """The image in that mode, turned as its camera says."""
    # Pillow remarks on PNG files only where they are animated
    quiet = isinstance(source, bytes) and source.startswith(b"\x89PNG") and b"acTL" not in source
    with contextlib.nullcontext() if quiet else _SILENCE:
        image = _opened(source, mode, detail) if isinstance(source, bytes) else source
        image.load()
        flat = _flat(image, mode, detail)
        turn = _TURNS.get(_orientation(source, image))
    return flat if turn is None else flat.transpose(turn)


def _opened(content: bytes, mode: str, detail: int | None) -> Any:
    """The image in a file, found to be harmless; it is decoded when it is loaded."""
    form = _form(content)
    if form == "Jpeg":  # Pillow would read all of its EXIF, however absurd that is
        content = content.replace(_EXIF, b"exif\0\0")
    elif form == "WebP":  # takes its memory as soon as it is opened
        _check_webp(content)
    elif form == "Tiff":
        _check_tags(content)
    small = form == "Png" and len(content) <= _SMALL
    file = io.BytesIO(content) if small else _File(content)
    image = _opener(form)(file)
    size, pixels = image.size, image.width * image.height
    _check_size(size)
    memory = len(content) + _work_space(form, image, content, file.tell())
    if form == "Jpeg":
        # to a half, a quarter or an eighth, and without colours for gray
        image.draft(mode, (detail, detail) if detail else None)
    memory += image.width * image.height * (1 if image.mode in {"1", "L", "P"} else 4)
    slow = pixels > _MOST_PIXELS_IN_PYTHON and any(t[0] in Image.DECODERS for t in image.tile)
    _check_work(memory, size, slow=slow)
    if isinstance(file, _File):
        file.admit_pixels()
    return image


def _form(content: bytes) -> str:
    """A file's format."""
    for magic, form in _FORMATS:
        if magic.match(content):
            return form
    if not content:
        raise ImageError("is empty: copy the image again")
    raise ImageError(f"is no image that can be read: {_SAVE_AS}")


@functools.cache
def _opener(form: str) -> Callable[[BinaryIO], Any]:
    """Pillow's class of a format: `Image.open` would first import other formats, and try them."""
    module = importlib.import_module(f"PIL.{form}ImagePlugin")
    opener: Callable[[BinaryIO], Any] = getattr(module, f"{form}ImageFile")
    return opener


class _Silence:
    """Keeps Pillow's remarks on odd files to itself while any thread decodes one.

    `warnings.catch_warnings` would do if there was but one thread.
    """

    _FILTER = ("ignore", None, Warning, re.compile(r"PIL\."), 0)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._logger = logging.getLogger("PIL.TiffImagePlugin")  # no other one complains

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                warnings.filters.insert(0, self._FILTER)  # type: ignore[attr-defined]
                self._logger.addFilter(self._drop)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._logger.removeFilter(self._drop)
                with contextlib.suppress(ValueError):  # others have put their filters in place
                    warnings.filters.remove(self._FILTER)  # type: ignore[attr-defined]

    @staticmethod
    def _drop(_: logging.LogRecord) -> bool:
        return False


_SILENCE = _Silence()


# bounds


class _File(io.BytesIO):
    """A file's bytes, which can be read so often and so much and no more.

    A header may consist of a million comments or empty chunks, or may refer to the same bytes again
    and again. Honest ones take a few dozen calls.
    """

    def __init__(self, content: bytes) -> None:
        io.BytesIO.__init__(self, content)  # not super(), which small images would notice
        self._calls = 10_000
        self._bytes = 1 << 24
        if content.startswith(b"RIFF"):  # WebP is read whole
            self._bytes += len(content)

    def admit_pixels(self) -> None:
        """From now on, more is read than headers have."""
        self._calls = 1 << 20
        self._bytes = 1 << 31

    def read(self, size: int | None = -1) -> bytes:
        """See `io.BytesIO.read`."""
        data = io.BytesIO.read(self, size)
        self._calls -= 1
        self._bytes -= len(data)
        if self._calls < 0 or self._bytes < 0:
            raise OSError("it has too many parts")
        return data


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MOST_PIXELS or max(size) > MOST_SIDE:
        raise ImageError(
            f"is too large ({width}x{height}, at most {MOST_PIXELS / 1e6:.0f} megapixels "
            f"and {MOST_SIDE} a side): save it smaller"
        )


def _check_work(memory: int, size: tuple[int, int], *, slow: bool = False) -> None:
    if slow or memory > _MOST_MEMORY:
        raise ImageError(
            f"is too large for its kind ({size[0]}x{size[1]}): save it smaller, or as PNG or JPEG"
        )


def _work_space(form: str, image: Any, content: bytes, at: int) -> int:
    """Bytes that a decoder takes besides the file and the image, as measured.

    ``at`` is how far the file is read.
    """
    if form == "Jpeg":
        return _coefficients(image, content, at)
    pixels: int = image.width * image.height
    if form == "Gif":  # what the next frame would begin with
        return 2 * pixels
    if form == "Tiff":
        turned = image.tag_v2.get(_ORIENTATION, 1) != 1
        return _tiff_block(image) + (4 * pixels if turned else 0)
    return 0


def _coefficients(image: Any, content: bytes, at: int) -> int:
    """Bytes that libjpeg keeps of an image that comes in several scans; 0 if it comes in one."""
    if content.count(b"\xff\xda") > _MOST_SCANS:
        raise ImageError("has too many scans: save it again")
    scan = content.rfind(b"\xff\xda", 0, at)  # Pillow has just read that marker
    if "progressive" not in image.info and content[scan + 4] == image.layers:
        return 0
    factors = [horizontal * vertical for _, horizontal, vertical, _ in image.layer]
    return int(2 * image.width * image.height * sum(factors) / max(1, *factors))


def _check_webp(content: bytes) -> None:
    """Refuse what is too large, as libwebp takes its memory as soon as it sees the size."""
    kind, body = content[15:16], content[20:30].ljust(10, b"\0")
    if kind == b"X":
        size = tuple(1 + int.from_bytes(body[at : at + 3], "little") for at in (4, 7))
    elif kind == b"L":
        bits = int.from_bytes(body[1:5], "little")
        size = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        size = tuple(int.from_bytes(body[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    width, height = size
    _check_size((width, height))
    _check_work(len(content) + _WEBP_BYTES * width * height, (width, height))


# TIFF's directories of tags, of which EXIF is one


class _Tag(NamedTuple):
    number: int
    type: int
    length: int
    value: int
    """If it fits into 4 bytes; otherwise where it is."""


def _directory(data: bytes, start: int | None = None) -> Iterator[_Tag]:
    """The tags of one directory, the first one unless its start is given.

    Raises:
        struct.error: it does not end within the data.
    """
    order = "<" if data.startswith(b"II") else ">"
    if start is None:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
    (tags,) = struct.unpack_from(f"{order}H", data, start)
    for place in range(start + 2, start + 2 + 12 * tags, 12):
        number, kind, length = struct.unpack_from(f"{order}HHI", data, place)
        form = f"{order}H" if kind == _SHORT else f"{order}I"
        (value,) = struct.unpack_from(form, data, place + 8)
        yield _Tag(number, kind, length, value)


def _check_tags(content: bytes) -> None:
    """Refuse a TIFF file whose tags Pillow would make too much of, as it reads all of them."""
    numbers = bytes_ = 0
    pending: list[int | None] = [None]
    for start in pending:
        for tag in _directory(content, start):
            if tag.type in _ONE_BYTE_TYPES:
                bytes_ += tag.length
            else:
                numbers += tag.length
            if start is None and tag.number in _SUBDIRECTORIES:
                pending.append(tag.value)
    if numbers > _MOST_NUMBERS or bytes_ > _MOST_TAG_BYTES:
        raise ImageError("has too large tags: save it as PNG or JPEG")


def _tiff_block(image: Any) -> int:
    """Bytes of one of the blocks, strips or tiles, that libtiff decodes at once."""
    tags = image.tag_v2
    rows = min(tags.get(_ROWS_PER_STRIP, image.height), image.height)
    pixels = tags.get(_TILE_WIDTH, image.width) * tags.get(_TILE_HEIGHT, rows)
    return int(pixels * tags.get(_SAMPLES, 1) * max(tags.get(_BITS, (1,))) // 8)


def _orientation(source: bytes | Image.Image, image: Image.Image) -> int:
    """1 to 8; 1 where it is not said, or cannot be understood."""
    if image.format == "TIFF":  # Pillow has turned it already, and no other kind
        return 1
    try:
        if not isinstance(source, bytes):
            return int(image.getexif().get(_ORIENTATION, 1))
        exif = _exif(source, image)
        tags = _directory(exif) if exif else ()
        return next((tag.value for tag in tags if tag.number == _ORIENTATION), 1)
    except Exception:  # noqa: BLE001  whatever Pillow or struct raise at absurd values
        return 1


def _exif(content: bytes, image: Image.Image) -> bytes:
    """EXIF as a TIFF file's beginning; what is none where there is none."""
    if image.format == "JPEG":
        start = content.find(_EXIF, 0, content.find(b"\xff\xda"))
        return content[start + 6 : start + (1 << 16)] if start >= 0 else b""
    exif: bytes = image.info.get("exif", b"")
    if profile := image.info.get("Raw profile type exif"):  # ImageMagick's way to put it into PNG
        exif = bytes.fromhex("".join(profile.split("\n")[3:]))
    return exif[6:] if exif.startswith(_EXIF) else exif


# colours


def _from_array(array: NDArray[Any]) -> Image.Image:
    squeezed = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array  # noqa: PLR2004
    colour = squeezed.ndim == 3 and squeezed.shape[2] == 3  # noqa: PLR2004
    if array.dtype != np.uint8 or array.size == 0 or not (squeezed.ndim == 2 or colour):  # noqa: PLR2004
        raise ImageError(
            f"an image as an array is uint8 (h, w), (h, w, 1) or (h, w, 3); "
            f"received {array.dtype} {array.shape}"
        )
    return Image.fromarray(np.ascontiguousarray(squeezed))


def _flat(image: Image.Image, mode: str, detail: int | None) -> Image.Image:
    """``image`` in that mode, averaged down to what is needed."""
    if 0 in image.size:
        raise ImageError("has no pixels: give one that has some")
    if image.mode == "F" or image.mode.startswith("I"):
        image = _eight_bits(image)
    factor = 1
    while detail and min(image.size) >= 2 * factor * detail:
        factor *= 2
    if factor == 1:
        return _converted(image, mode)
    if image.mode == mode and "transparency" not in image.info:
        return image.reduce(factor)
    width, height = (-(-side // factor) for side in image.size)
    small = Image.new(mode, (width, height))
    # converted whole, it would be in memory two or three times
    for top, strip in _strips(image, factor):
        small.paste(_converted(strip, mode).reduce(factor), (0, top // factor))
    return small


def _strips(image: Image.Image, factor: int = 1) -> Iterator[tuple[int, Image.Image]]:
    """The image from top to bottom, and where each strip begins: at a multiple of ``factor``."""
    rows = max(1, _STRIP_PIXELS // (image.width * factor)) * factor
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _converted(image: Image.Image, mode: str) -> Image.Image:
    """``image`` in that mode, transparency laid on white."""
    clear = image.mode in {"LA", "La", "PA", "RGBA", "RGBa"} or "transparency" in image.info
    if image.palette is not None and image.palette.mode == "RGBA":
        clear = True
    if image.mode == mode and not clear:
        return image
    if image.mode in _DETOURS:
        image = image.convert(_DETOURS[image.mode])
    if clear:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(image: Image.Image) -> Image.Image:
    """A gray image of 16 or 32 bits, or of floats, as one of 8 bits."""
    white = _white(image)
    clear = image.info.get("transparency")
    result = Image.new("L", image.size)
    for top, strip in _strips(image):
        values = _values(strip, image)
        # in float64: the same on every machine
        if image.mode == "F":
            levels = np.rint(np.nan_to_num(values, nan=0, posinf=white, neginf=0) * 255 / white)
        else:
            levels = np.floor(values * 256 / (white + 1))
        if clear is not None:
            levels[values == clear] = 255
        result.paste(Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8)), (0, top))
    return result


def _white(image: Image.Image) -> float:
    """What stands for white in a gray image of more than 8 bits."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in {"PNG", "PPM"}):
        return (1 << 16) - 1
    greatest = 0.0
    for _, strip in _strips(image):
        values = _values(strip, image)
        greatest = max(greatest, float(values.max(initial=0, where=np.isfinite(values))))
    whites = _WHITES if image.mode == "F" else _WHITES[1:]
    return next((white for white in whites if greatest <= white), greatest)


def _values(strip: Image.Image, image: Image.Image) -> NDArray[np.float64]:
    """The pixels of a part of an image, as numbers: float64 ``(h, w)``."""
    array = np.asarray(strip)
    tags = getattr(image, "tag_v2", {_SAMPLE_FORMAT: None})
    if image.mode == "I" and tags.get(_SAMPLE_FORMAT, (1,)) == (1,):
        array = array.view(np.uint32)  # which Pillow takes for signed
    return array.astype(np.float64)
