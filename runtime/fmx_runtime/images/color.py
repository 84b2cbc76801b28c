"""Convert images of any mode to 8-bit gray or RGB.

- Transparency is blended onto white.
- Of 16-bit images the upper 8 bits are kept.
- Images of 32-bit integers or floats do not say which value is white. It is taken to be the least
  of 255, 65535, 2^31 - 1 and 2^32 - 1, and of 1 for floats, that no pixel exceeds.
- Colors are taken as sRGB, whatever color profile is embedded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fmx_runtime.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["convert_image", "image_from_array"]

_STRIP_PIXELS = 1 << 20  # large images are converted in strips, so that little memory is needed

# Pillow converts each of these modes to one other mode only
_INTERMEDIATE_MODES = {"LAB": "RGB", "HSV": "RGB", "La": "LA", "RGBa": "RGBA"}
_ALPHA_MODES = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_MAX_16_BIT = (1 << 16) - 1
_INTEGER_WHITE_LEVELS = ((1 << 8) - 1, _MAX_16_BIT, (1 << 31) - 1, (1 << 32) - 1)
_FLOAT_WHITE_LEVELS = (1, *_INTEGER_WHITE_LEVELS)

_SAMPLE_FORMAT_TAG = 339  # of TIFF files
_UNSIGNED_SAMPLES = (1,)

_GRAY_AXES, _COLOR_AXES = 2, 3
_RGB_CHANNELS = 3


def image_from_array(array: NDArray[Any]) -> Image.Image:
    """Return an array as a Pillow image.

    Args:
        array: uint8 ``(h, w)``, ``(h, w, 1)`` or ``(h, w, 3)``, not empty.

    Raises:
        ImageError: the array has another shape or dtype.
    """
    has_one_channel = array.ndim == _COLOR_AXES and array.shape[2] == 1
    pixels = array[:, :, 0] if has_one_channel else array
    is_gray = pixels.ndim == _GRAY_AXES
    is_rgb = pixels.ndim == _COLOR_AXES and pixels.shape[2] == _RGB_CHANNELS
    if array.dtype != np.uint8 or array.size == 0 or not (is_gray or is_rgb):
        raise ImageError(
            f"an image array must be uint8 (h, w), (h, w, 1) or (h, w, 3); "
            f"received {array.dtype} {array.shape}"
        )
    return Image.fromarray(np.ascontiguousarray(pixels))


def convert_image(image: Image.Image, mode: str, min_side: int | None) -> Image.Image:
    """Convert an image to 8-bit gray or RGB, and average it down if it is large.

    Args:
        image: of any mode and size.
        mode: of the result, ``L`` or ``RGB``.
        min_side: the image is averaged down by the largest power of two that leaves its shorter
            side at least this many pixels; None keeps its size.

    Raises:
        ImageError: the image has no pixels.
    """
    if 0 in image.size:
        raise ImageError("has no pixels: give another image")
    if image.mode == "F" or image.mode.startswith("I"):
        image = _to_8_bits(image)
    factor = _reduction_factor(image.size, min_side)
    if factor == 1:
        return _to_mode(image, mode)
    if image.mode == mode and "transparency" not in image.info:
        return image.reduce(factor)
    width, height = (-(-side // factor) for side in image.size)
    reduced = Image.new(mode, (width, height))
    # converted at once, the image would be in memory two or three times
    for top, strip in _strips(image, factor):
        reduced.paste(_to_mode(strip, mode).reduce(factor), (0, top // factor))
    return reduced


def _reduction_factor(size: tuple[int, int], min_side: int | None) -> int:
    """Return the largest power of two that leaves ``min_side`` pixels or more."""
    factor = 1
    while min_side and min(size) >= 2 * factor * min_side:
        factor *= 2
    return factor


def _strips(image: Image.Image, factor: int = 1) -> Iterator[tuple[int, Image.Image]]:
    """Yield the image in strips from top to bottom, each with its first row.

    The first rows are multiples of ``factor``.
    """
    rows = max(1, _STRIP_PIXELS // (image.width * factor)) * factor
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    """Return an 8-bit image in that mode, with transparency blended onto white."""
    transparent = image.mode in _ALPHA_MODES or "transparency" in image.info
    if image.palette is not None and image.palette.mode == "RGBA":
        transparent = True
    if image.mode == mode and not transparent:
        return image
    if image.mode in _INTERMEDIATE_MODES:
        image = image.convert(_INTERMEDIATE_MODES[image.mode])
    if transparent:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image if image.mode == mode else image.convert(mode)


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Return a gray image of 16 bits, 32 bits or floats as one of 8 bits."""
    white = _white_level(image)
    transparent_value = image.info.get("transparency")
    result = Image.new("L", image.size)
    for top, strip in _strips(image):
        # in float64, which gives the same levels on every machine
        values = _pixel_values(strip, image)
        if image.mode == "F":
            levels = np.rint(np.nan_to_num(values, nan=0, posinf=white, neginf=0) * 255 / white)
        else:
            levels = np.floor(values * 256 / (white + 1))
        if transparent_value is not None:
            levels[values == transparent_value] = 255
        result.paste(Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8)), (0, top))
    return result


def _white_level(image: Image.Image) -> float:
    """Return the value that means white in a gray image of more than 8 bits."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in {"PNG", "PPM"}):
        return _MAX_16_BIT
    greatest = 0.0
    for _, strip in _strips(image):
        values = _pixel_values(strip, image)
        greatest = max(greatest, float(values.max(initial=0, where=np.isfinite(values))))
    levels = _FLOAT_WHITE_LEVELS if image.mode == "F" else _INTEGER_WHITE_LEVELS
    return next((white for white in levels if greatest <= white), greatest)


def _pixel_values(strip: Image.Image, image: Image.Image) -> NDArray[np.float64]:
    """Return the pixel values of a strip of an image: float64 ``(h, w)``."""
    array = np.asarray(strip)
    # only images from TIFF files have tags
    tags = getattr(image, "tag_v2", {_SAMPLE_FORMAT_TAG: None})
    if image.mode == "I" and tags.get(_SAMPLE_FORMAT_TAG, _UNSIGNED_SAMPLES) == _UNSIGNED_SAMPLES:
        array = array.view(np.uint32)  # Pillow takes unsigned 32-bit samples for signed ones
    return array.astype(np.float64)
