"""Turn an image into the pixels and the tensor that a network takes.

Training, calibration, benchmarks and the device all call this module, so they all prepare images
in the same way. It uses integer arithmetic and look-up tables only: the same image gives the same
bits on every machine, for one version of Pillow, which decodes and resizes.
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

_DECODED_PIXELS_PER_INPUT_PIXEL = 8
"""How much larger than the input, per side, an image is decoded at least.

With this many pixels, averaging down first changes no input pixel by more than 1.
"""


def to_pixels(
    image: ImageLike, spec: InputSpec, *, segment_garment: bool | None = None
) -> NDArray[np.uint8]:
    """Return an image as the pixels of the network's input.

    1. The image is decoded, turned upright and blended onto white, see
       `fmx_runtime.images.decode.open_image`. If it now has the size of the input, it is returned
       as it is.
    2. If the model knows only garments (``spec.subject`` is ``garment``) and the image is a photo,
       the garment is segmented, see `fmx_runtime.images.garment_segmentation`.
    3. Any other image is inverted if the model expects light objects on a dark background
       (``spec.polarity`` is ``light-on-dark``) and the border of the image is light.
    4. The image is resized to the input (bilinear, antialiased).

    Args:
        image: see `ImageLike`.
        spec: the model's input.
        segment_garment: whether to segment the garment; None does so if the border of the image
            looks like a photo. Ignored unless ``spec.subject`` is ``garment``.

    Returns:
        uint8 array ``(height, width, channels)``, values 0 to 255. It is ``image`` itself if that
        is an array of this shape.

    Raises:
        ImageError: the file is missing or no image, or the array has another shape or dtype.
    """
    if (
        isinstance(image, np.ndarray)
        and image.shape == (spec.height, spec.width, spec.channels)
        and image.dtype == _UINT8
    ):
        return image
    min_side = _DECODED_PIXELS_PER_INPUT_PIXEL * max(spec.width, spec.height)
    mode: Literal["L", "RGB"] = "L" if spec.channels == 1 else "RGB"
    may_segment = spec.subject == "garment" and segment_garment is not False
    decoded = open_image(image, "RGB" if may_segment else mode, min_side)
    if decoded.size == (spec.width, spec.height):
        return _as_array(_in_mode(decoded, mode), spec)
    background = np.zeros(() if mode == "L" else 3, np.uint8)
    if may_segment and (garment := _segment(decoded, segment_garment)):
        decoded = _in_mode(garment, mode)
    else:
        decoded = _in_mode(decoded, mode)
        background = _border_color(np.asarray(decoded))
        if spec.polarity == "light-on-dark" and float(np.mean(background)) > _MIDDLE_GRAY:
            decoded, background = ImageOps.invert(decoded), 255 - background
    if spec.resize == "fit":
        return _as_array(_fit(decoded, spec, background), spec)
    return _as_array(_resize(decoded, spec.width, spec.height), spec)


def to_tensor(pixels: NDArray[np.uint8], spec: InputSpec) -> NDArray[Any]:
    """Return pixels as the values of the network's input tensor.

    Args:
        pixels: uint8, any shape.
        spec: the model's input.

    Returns:
        For a uint8 input the same array; for a float input a float32 array of the same shape,
        ``pixel * scale + offset``.
    """
    if spec.dtype == "uint8":
        return pixels
    return _float_values(spec.scale, spec.offset)[pixels]


@functools.lru_cache(maxsize=8)
def _float_values(scale: float, offset: float) -> NDArray[np.float32]:
    """Return the input values of the pixels 0 to 255: float32 ``(256,)``.

    Computed in float64 and rounded once, so that they are the same on every machine.
    """
    return (np.arange(256, dtype=np.float64) * scale + offset).astype(np.float32)


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)


def _segment(image: Image.Image, requested: bool | None) -> Image.Image | None:
    """Return the garment in a photo, light on black; None if the image is not a photo."""
    from fmx_runtime.images.garment_segmentation import is_photo, segment_garment

    return segment_garment(image) if requested or is_photo(image) else None


def _border_color(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the median of the outermost pixels: uint8, shape () for gray and (3,) for RGB."""
    edges = [array[0], array[-1], array[:, 0], array[:, -1]]
    median: NDArray[np.float64] = np.median(np.concatenate(edges), axis=0)
    return median.astype(np.uint8)


def _fit(image: Image.Image, spec: InputSpec, background: NDArray[np.uint8]) -> Image.Image:
    """Return the image as large as fits, in the middle of a background of that color.

    It is shrunk before it is padded: a square around an image of 60000x1 pixels would fill the
    memory.
    """
    scale = min(spec.width / image.width, spec.height / image.height)
    width, height = (max(1, round(side * scale)) for side in image.size)
    resized = _resize(image, width, height)
    color = background.tolist()
    canvas = Image.new(
        image.mode,
        (spec.width, spec.height),
        tuple(color) if isinstance(color, list) else color,
    )
    canvas.paste(resized, ((spec.width - width) // 2, (spec.height - height) // 2))
    return canvas


def _resize(image: Image.Image, width: int, height: int) -> Image.Image:
    """Resize first in width and then in height.

    The order changes some pixels by 1, and versions of Pillow differ in the order that they take
    when they do both at once.
    """
    narrow = image.resize((width, image.height), Image.Resampling.BILINEAR)
    return narrow.resize((width, height), Image.Resampling.BILINEAR)


def _as_array(image: Image.Image, spec: InputSpec) -> NDArray[np.uint8]:
    # takes half the time of np.asarray
    return np.frombuffer(image.tobytes(), np.uint8).reshape(spec.shape)
