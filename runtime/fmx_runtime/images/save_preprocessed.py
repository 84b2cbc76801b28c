"""Save the preprocessed pixels of an image as a PNG file, to show what the network sees."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from fmx_runtime.errors import OutputError
from fmx_runtime.images.preprocess import to_pixels
from fmx_runtime.support import atomic

if TYPE_CHECKING:
    from fmx_runtime.images.preprocess import ImageLike
    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["save_preprocessed"]


def save_preprocessed(
    image: ImageLike,
    spec: InputSpec,
    path: str | os.PathLike[str],
    *,
    segment_garment: bool | None = None,
) -> None:
    """Write the pixels of the network's input to a PNG file, unchanged.

    Args:
        image: see `ImageLike`.
        spec: the model's input.
        path: of the PNG file. An existing file is replaced, unless it is the image itself.
        segment_garment: see `to_pixels`.

    Raises:
        ImageError: the image cannot be read; no file is written.
        OutputError: the file cannot be written.
    """
    pixels = to_pixels(image, spec, segment_garment=segment_garment)
    target = Path(path)
    if not target.parent.is_dir():
        raise OutputError(f"cannot write '{target}': folder '{target.parent}' does not exist")
    if isinstance(image, (str, os.PathLike)) and target.exists() and target.samefile(image):
        raise OutputError(f"cannot write '{target}': it is the image itself; choose another file")
    preprocessed = Image.fromarray(pixels[:, :, 0] if spec.channels == 1 else pixels)
    png = io.BytesIO()
    preprocessed.save(png, "png")
    atomic.write(target, png.getvalue())
