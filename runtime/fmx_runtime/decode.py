"""A picture, in whatever form it comes -> an upright Pillow image in gray or RGB.

Pictures come from strangers. So only still-image formats are opened, recognized by their first
bytes and never by a name; only regular files are, since a pipe or a device may never end; and what
decoding would take is reckoned from the header before any memory is used.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import os
import stat
from typing import TYPE_CHECKING, Any, Literal, Union

import numpy as np
from PIL import Image

from fmx_runtime.errors import PictureError
from fmx_runtime.reason import reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from numpy.typing import NDArray

__all__ = ["MOST_PIXELS", "Picture", "image_format", "open_picture"]

Picture = Union[str, "os.PathLike[str]", bytes, Image.Image, "NDArray[np.uint8]"]
"""A path, an encoded file's bytes, a Pillow image, or a uint8 array (h, w) or (h, w, 1 or 3)."""

MOST_PIXELS = 100_000_000
"""Larger pictures are refused."""

_MOST_BYTES = 1 << 28  # a quarter of what the smallest Raspberry Pi of today has
_MOST_FILE_BYTES = 1 << 26
_STRIP_PIXELS = 1 << 22  # larger pictures are taken in strips of this size, and shrunk
_LEAST_SIDE = 512  # to which huge pictures may be shrunk before anything else is done

# by their first bytes; Pillow has a class of that name in a module of that name
_FORMATS = (
    (b"\x89PNG\r\n\x1a\n", "Png"),
    (b"\xff\xd8\xff", "Jpeg"),
    (b"GIF8", "Gif"),
    (b"BM", "Bmp"),
    (b"II*\0", "Tiff"),
    (b"MM\0*", "Tiff"),
    (b"P4", "Ppm"),
    (b"P5", "Ppm"),
    (b"P6", "Ppm"),
)
_KNOWN = "PNG, JPEG, WebP, GIF, BMP, TIFF or binary PPM"
_EXIF = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_picture(picture: Picture, mode: Literal["L", "RGB"]) -> Image.Image:
    """One picture, upright, as 8-bit gray or RGB.

    The first frame of an animation, and the first page of a document, is taken; others are never
    decoded. Transparency is laid on white. Of 16 bits the upper 8 count; floats are taken as 0 to
    1 if all are, as 0 to 255 otherwise. Colours are taken as sRGB. A picture of more than 4
    megapixels is shrunk by a whole factor, to no less than 512 pixels a side.

    Args:
        picture: see `Picture`.
        mode: of the result.

    Raises:
        PictureError: no regular file, no picture, a damaged or too large one, or an array of
            another shape or dtype.
    """
    if isinstance(picture, np.ndarray):
        return _converted(_from_array(picture), mode)
    if isinstance(picture, Image.Image):
        return _readable(picture, "the picture", mode)
    if isinstance(picture, bytes):
        return _readable(io.BytesIO(picture), "the picture", mode)
    name = f"'{os.fspath(picture)}'"
    return _readable(io.BytesIO(_content(picture, name)), name, mode)


def image_format(start: bytes) -> str | None:
    """Which of the formats that are opened a file has, by its first 12 bytes; None if none."""
    for magic, name in _FORMATS:
        if start.startswith(magic):
            return name
    return "WebP" if start[:4] == b"RIFF" and start[8:12] == b"WEBP" else None


def _content(path: str | os.PathLike[str], name: str) -> bytes:
    """All of a file that has an end."""
    try:
        # asked before it is opened: to open a pipe may take for ever, and some devices act on it
        status = os.stat(path)  # noqa: PTH116  half the time of Path.stat, which counts here
        kind = _kind(status.st_mode)
        if kind is None and status.st_size <= _MOST_FILE_BYTES:
            with open(path, "rb", buffering=0) as file:  # noqa: PTH123  likewise
                return file.read()
    except FileNotFoundError as error:
        raise PictureError(f"{name} does not exist") from error
    except PermissionError as error:
        raise PictureError(f"{name} may not be read: {error.strerror}") from error
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise PictureError(f"{name}: {said}") from error
    if kind is None:
        megabytes = f"{status.st_size / 1e6:,.0f} MB, at most {_MOST_FILE_BYTES / 1e6:,.0f}"
        raise PictureError(f"{name} is too large a file ({megabytes}): save the picture smaller")
    raise PictureError(f"{name} is {kind}")


def _kind(mode: int) -> str | None:
    """What a file is that is none to be read, None for a regular one."""
    if stat.S_ISREG(mode):
        return None
    if stat.S_ISDIR(mode):
        return "a folder, not a picture"
    if stat.S_ISFIFO(mode):
        return "a pipe, not a picture: give '-' and send the picture to the standard input"
    return "a device or a socket, not a picture"


def _readable(source: BinaryIO | Image.Image, name: str, mode: str) -> Image.Image:
    """The picture, decoded, or the reason in one line that names it."""
    try:
        image = source if isinstance(source, Image.Image) else _opened(source)
        if isinstance(source, Image.Image):
            image.load()
        return _upright(image, mode)
    except PictureError as error:
        raise PictureError(f"{name} {error}") from error
    except MemoryError as error:
        raise PictureError(f"{name} does not fit into this machine's memory") from error
    # decoders of broken files raise many kinds, SyntaxError and struct.error among them
    except Exception as error:
        said = "it cannot be decoded"
        if type(error) is OSError:  # of Pillow, or of the system
            said = error.strerror or reason(error)
        raise PictureError(f"{name} is damaged: {said}") from error


def _opened(file: BinaryIO) -> Image.Image:
    """The picture in a file: its header is read, the rest is not yet."""
    start = file.read(12)
    file.seek(0)
    form = image_format(start)
    if form is None:
        what = "is empty" if not start else f"is no picture that can be read ({_KNOWN})"
        raise PictureError(what)
    image = _opener(form)(file)
    pixels = image.width * image.height
    if form == "Jpeg":  # decoded at a half, a quarter or an eighth of its size
        image.draft(None, (_LEAST_SIDE, _LEAST_SIDE))
    if pixels > MOST_PIXELS or _bytes_to_decode(image, form, pixels) > _MOST_BYTES:
        raise PictureError(
            f"is too large to be decoded in little memory ({pixels / 1e6:,.0f} megapixels): "
            "save it smaller"
        )
    return image


@functools.cache
def _opener(form: str) -> Callable[[BinaryIO], Image.Image]:
    """Pillow's class of a format: `Image.open` would first import all formats, and try them."""
    module = importlib.import_module(f"PIL.{form}ImagePlugin")
    opener: Callable[[BinaryIO], Image.Image] = getattr(module, f"{form}ImageFile")
    return opener


def _bytes_to_decode(image: Image.Image, form: str, pixels: int) -> int:
    """What decoding takes, by what the decoders do; ``pixels`` is before `draft`."""
    if form == "WebP":  # libwebp's two canvases, what it hands over, and what Pillow makes of it
        return 16 * pixels
    deep = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}.get(image.mode, 4)
    decoded = deep * image.width * image.height
    # all coefficients, of 16 bits for each of three channels
    return decoded + (6 * pixels if "progressive" in image.info else 0)


def _upright(image: Image.Image, mode: str) -> Image.Image:
    """The picture in that mode, turned as its camera says."""
    if 0 in image.size:
        raise PictureError("has no pixels")
    if image.width * image.height > _STRIP_PIXELS:
        flat = _shrunk(image, mode)
    else:
        flat = _converted(image, mode)
    turn = _TURNS.get(_orientation(image))
    return flat.transpose(turn) if turn is not None else flat


def _orientation(image: Image.Image) -> int:
    """1 to 8, as EXIF or XMP states it; 1 where it is not said, or cannot be understood."""
    if image.format != "TIFF" and not any(key in image.info for key in _EXIF):
        return 1
    with contextlib.suppress(Exception):  # what cannot be understood makes no picture unreadable
        return int(image.getexif().get(_ORIENTATION, 1))
    return 1


def _shrunk(image: Image.Image, mode: str) -> Image.Image:
    """A huge picture converted and shrunk by a whole factor, a strip at a time.

    Converted whole, it would be in memory twice or three times.
    """
    image.load()
    factor = max(1, min(image.size) // _LEAST_SIDE)
    width, height = (-(-side // factor) for side in image.size)
    small = Image.new(mode, (width, height))
    rows = max(1, _STRIP_PIXELS // (image.width * factor))
    for top in range(0, height, rows):
        bottom = min((top + rows) * factor, image.height)
        strip = image.crop((0, top * factor, image.width, bottom))
        small.paste(_converted(strip, mode).reduce(factor), (0, top))
    return small


def _from_array(array: NDArray[Any]) -> Image.Image:
    squeezed = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array  # noqa: PLR2004
    colour = squeezed.ndim == 3 and squeezed.shape[2] == 3  # noqa: PLR2004
    if array.dtype != np.uint8 or array.size == 0 or not (squeezed.ndim == 2 or colour):  # noqa: PLR2004
        raise PictureError(
            f"a picture as an array is uint8 (h, w), (h, w, 1) or (h, w, 3); "
            f"received {array.dtype} {array.shape}"
        )
    return Image.fromarray(np.ascontiguousarray(squeezed))


def _converted(image: Image.Image, mode: str) -> Image.Image:
    """``image`` in that mode, transparency laid on white."""
    image.load()  # only then all of it is known, transparency too
    if image.mode == mode and "transparency" not in image.info:
        return image
    if image.mode == "F" or image.mode.startswith("I"):
        image = _eight_bits(image)
    elif image.mode in {"LAB", "La", "RGBa"}:  # Pillow knows one way from each of them
        image = image.convert({"LAB": "RGB", "La": "LA", "RGBa": "RGBA"}[image.mode])
    if image.mode in {"LA", "PA", "RGBA"} or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(image: Image.Image) -> Image.Image:
    """A gray picture of 16 or 32 bits, or of floats, as one of 8 bits."""
    deep = np.asarray(image)
    if image.mode == "F":
        deep = np.nan_to_num(deep, nan=0, posinf=255, neginf=0)
        # in float64 and rounded: the same on every machine
        levels = np.rint(deep.astype(np.float64) * (255 if deep.max() <= 1 else 1))
    else:
        levels = deep.astype(np.int64) >> 8
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))
