"""Picture -> pixels -> tensor, by the rule that the model card states.

Training, calibration, benchmarks and the device all call this module, so there is one
implementation and no skew. Everything is integer arithmetic or a table look-up: the same picture
gives the same bits on every machine (for one version of Pillow, which decodes and resizes).
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from PIL import Image, ImageOps

from fmx_runtime.errors import PictureError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmx_runtime.card import InputSpec

__all__ = ["Picture", "to_pixels", "to_tensor"]

Picture = Union[str, "os.PathLike[str]", bytes, Image.Image, "NDArray[np.uint8]"]
"""A path, an encoded file's bytes, a Pillow image, or a uint8 array (h, w) or (h, w, 1 or 3)."""

_MIDDLE_GRAY = 127


def to_pixels(picture: Picture, spec: InputSpec) -> NDArray[np.uint8]:
    """One picture as the network's pixels.

    A picture is turned upright (EXIF) and flattened on white where it is transparent. One that then
    has the network's size is taken as it is. Any other one is inverted if the card asks for light
    things on a dark ground and its border is light, and resized (bilinear, antialiased).

    Args:
        picture: see `Picture`.
        spec: the model's input.

    Returns:
        uint8 array ``(height, width, channels)``, values 0 to 255.

    Raises:
        PictureError: the file is missing or no picture, or the array has another shape or dtype.
    """
    image = _open(picture, "L" if spec.channels == 1 else "RGB")
    if image.size == (spec.width, spec.height):
        return _as_array(image, spec)
    border = _border_colour(np.asarray(image))
    if spec.polarity == "light-on-dark" and float(np.mean(border)) > _MIDDLE_GRAY:
        image, border = ImageOps.invert(image), 255 - border
    if spec.resize == "fit":
        return _as_array(_fit(image, spec, border), spec)
    return _as_array(image.resize((spec.width, spec.height), Image.Resampling.BILINEAR), spec)


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
    # computed once for the 256 values there are, in float64: identical wherever it is looked up
    table = (np.arange(256, dtype=np.float64) * spec.scale + spec.offset).astype(np.float32)
    return table[pixels]


def _open(picture: Picture, mode: str) -> Image.Image:
    """The picture upright, in the network's colour mode."""
    if isinstance(picture, np.ndarray):
        return _flatten(_from_array(picture), mode)
    name = "the picture" if isinstance(picture, (bytes, Image.Image)) else f"'{os.fspath(picture)}'"
    try:
        return _flatten(ImageOps.exif_transpose(_load(picture)), mode)
    except FileNotFoundError as error:
        raise PictureError(f"{name} does not exist") from error
    except IsADirectoryError as error:
        raise PictureError(f"{name} is a folder, not a picture") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"{name} is too large: {error}") from error
    except PermissionError as error:
        raise PictureError(f"{name} may not be read: {error.strerror}") from error
    # decoders of broken files raise many kinds, SyntaxError and struct.error among them
    except Exception as error:
        reason = "no picture that can be read"
        if type(error) is OSError:  # of Pillow, or of the system
            reason = error.strerror or str(error)
        raise PictureError(f"{name}: {reason}") from error


def _load(picture: str | os.PathLike[str] | bytes | Image.Image) -> Image.Image:
    """The picture, decoded."""
    if isinstance(picture, Image.Image):
        image = picture
    else:
        image = Image.open(io.BytesIO(picture) if isinstance(picture, bytes) else picture)
    image.load()
    if 0 in image.size:
        raise OSError("the picture has no pixels")
    return image


def _from_array(array: NDArray[Any]) -> Image.Image:
    squeezed = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array  # noqa: PLR2004
    colour = squeezed.ndim == 3 and squeezed.shape[2] == 3  # noqa: PLR2004
    if array.dtype != np.uint8 or array.size == 0 or not (squeezed.ndim == 2 or colour):  # noqa: PLR2004
        raise PictureError(
            f"a picture as an array is uint8 (h, w), (h, w, 1) or (h, w, 3); "
            f"received {array.dtype} {array.shape}"
        )
    return Image.fromarray(np.ascontiguousarray(squeezed))


def _flatten(image: Image.Image, mode: str) -> Image.Image:
    """``image`` in the network's colour mode, transparency laid on white, 16 bits cut to 8."""
    if image.mode == "LAB":  # Pillow knows the way to RGB, and none to gray
        image = image.convert("RGB")
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64)
        image = Image.fromarray(np.clip(deep >> 8, 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image if image.mode == mode else image.convert(mode)


def _border_colour(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Median of the outermost pixels: uint8, shape () for gray and (3,) for RGB."""
    edges = [array[0], array[-1], array[:, 0], array[:, -1]]
    middle: NDArray[np.float64] = np.median(np.concatenate(edges), axis=0)
    return middle.astype(np.uint8)


def _fit(image: Image.Image, spec: InputSpec, colour: NDArray[np.uint8]) -> Image.Image:
    """``image`` as large as fits, in the middle of a ground of that colour.

    Shrunk before it is padded: a square around a picture of 60000x1 pixels would fill the memory.
    """
    scale = min(spec.width / image.width, spec.height / image.height)
    width, height = (max(1, round(side * scale)) for side in image.size)
    small = image.resize((width, height), Image.Resampling.BILINEAR)
    fill = colour.tolist()
    ground = (spec.width, spec.height)
    padded = Image.new(image.mode, ground, tuple(fill) if isinstance(fill, list) else fill)
    padded.paste(small, ((spec.width - width) // 2, (spec.height - height) // 2))
    return padded


def _as_array(image: Image.Image, spec: InputSpec) -> NDArray[np.uint8]:
    return np.asarray(image, dtype=np.uint8).reshape(spec.shape)
