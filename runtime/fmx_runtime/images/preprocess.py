"""ImageLike -> pixels -> tensor, by the rule that the model metadata states.

Training, calibration, benchmarks and the device all call this module, so there is one
implementation and no skew. Everything is integer arithmetic or a table look-up: the same image
gives the same bits on every machine (for one version of Pillow, which decodes and resizes).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image, ImageOps

from fmx_runtime.images.decode import ImageLike, open_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["ImageLike", "to_pixels", "to_tensor"]

_MIDDLE_GRAY = 127
_UINT8 = np.dtype(np.uint8)

_DETAIL = 8
"""Pixels for each of the network's: with as many, averaging down first changes none by over 1."""


def to_pixels(image: ImageLike, spec: InputSpec, *, photo: bool | None = None) -> NDArray[np.uint8]:
    """One image as the network's pixels.

    An image is turned upright and laid on white where it is transparent, see
    `fmx_runtime.images.decode.open_image`. One that then has the network's size is taken as it is. Of a
    photo, a network that knows only garments is shown the garment, see `fmx_runtime.images.garment_segmentation`.
    Any other image is inverted if the metadata asks for light things on a dark ground and its border
    is light. What there is by then is resized (bilinear, antialiased).

    Args:
        image: see `ImageLike`.
        spec: the model's input.
        photo: whether it is a photo; None decides by its border. To networks that are shown
            whole images it makes no difference.

    Returns:
        uint8 array ``(height, width, channels)``, values 0 to 255; ``image`` itself if that is
        what it is.

    Raises:
        ImageError: the file is missing or no image, or the array has another shape or dtype.
    """
    if (
        isinstance(image, np.ndarray)
        and image.shape == (spec.height, spec.width, spec.channels)
        and image.dtype == _UINT8
    ):
        return image
    detail = _DETAIL * max(spec.width, spec.height)
    mode: Literal["L", "RGB"] = "L" if spec.channels == 1 else "RGB"
    of_garments = spec.subject == "garment" and photo is not False
    decoded = open_image(image, "RGB" if of_garments else mode, detail)
    if decoded.size == (spec.width, spec.height):
        return _as_array(_in_mode(decoded, mode), spec)
    ground = np.zeros(() if mode == "L" else 3, np.uint8)
    if of_garments and (garment := _garment_alone(decoded, photo)):
        decoded = _in_mode(garment, mode)
    else:
        decoded = _in_mode(decoded, mode)
        ground = _border_colour(np.asarray(decoded))
        if spec.polarity == "light-on-dark" and float(np.mean(ground)) > _MIDDLE_GRAY:
            decoded, ground = ImageOps.invert(decoded), 255 - ground
    if spec.resize == "fit":
        return _as_array(_fit(decoded, spec, ground), spec)
    return _as_array(_resized(decoded, spec.width, spec.height), spec)


def to_tensor(pixels: NDArray[np.uint8], spec: InputSpec) -> NDArray[Any]:
    """Pixels as the values that the network's input tensor takes.

    Args:
        pixels: uint8, any shape.
        spec: the model's input.

    Returns:
        The same array for a uint8 input; for a float input a float32 array of the same shape,
        ``pixel * scale + offset``.
    """
    if spec.dtype == "uint8":
        return pixels
    return _values(spec.scale, spec.offset)[pixels]


@functools.lru_cache(maxsize=8)
def _values(scale: float, offset: float) -> NDArray[np.float32]:
    """What the 256 values of a pixel are to the network, computed in float64: alike everywhere."""
    return (np.arange(256, dtype=np.float64) * scale + offset).astype(np.float32)


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)


def _garment_alone(image: Image.Image, photo: bool | None) -> Image.Image | None:
    """A photo's garment, cut out and light on black; None of any other image."""
    from fmx_runtime.images.garment_segmentation import is_photo, segment_garment

    return segment_garment(image) if photo or is_photo(image) else None


def _border_colour(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Median of the outermost pixels: uint8, shape () for gray and (3,) for RGB."""
    edges = [array[0], array[-1], array[:, 0], array[:, -1]]
    middle: NDArray[np.float64] = np.median(np.concatenate(edges), axis=0)
    return middle.astype(np.uint8)


def _fit(image: Image.Image, spec: InputSpec, colour: NDArray[np.uint8]) -> Image.Image:
    """``image`` as large as fits, in the middle of a ground of that colour.

    Shrunk before it is padded: a square around an image of 60000x1 pixels would fill the memory.
    """
    scale = min(spec.width / image.width, spec.height / image.height)
    width, height = (max(1, round(side * scale)) for side in image.size)
    small = _resized(image, width, height)
    fill = colour.tolist()
    ground = (spec.width, spec.height)
    padded = Image.new(image.mode, ground, tuple(fill) if isinstance(fill, list) else fill)
    padded.paste(small, ((spec.width - width) // 2, (spec.height - height) // 2))
    return padded


def _resized(image: Image.Image, width: int, height: int) -> Image.Image:
    """First in width and then in height: which is first makes a difference of 1 here and there.

    Versions of Pillow differ in the order that they take by themselves.
    """
    narrow = image.resize((width, image.height), Image.Resampling.BILINEAR)
    return narrow.resize((width, height), Image.Resampling.BILINEAR)


def _as_array(image: Image.Image, spec: InputSpec) -> NDArray[np.uint8]:
    # half the time that np.asarray takes
    return np.frombuffer(image.tobytes(), np.uint8).reshape(spec.shape)
