"""What the network sees of a picture, as a picture."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from fmx_runtime import atomic
from fmx_runtime.errors import OutputError
from fmx_runtime.preprocess import to_pixels

if TYPE_CHECKING:
    from fmx_runtime.card import InputSpec
    from fmx_runtime.preprocess import Picture

__all__ = ["save_input"]


def save_input(
    picture: Picture,
    spec: InputSpec,
    path: str | os.PathLike[str],
    *,
    photo: bool | None = None,
) -> None:
    """Write the pixels that go into the network, one for one, to a PNG file.

    Args:
        picture: see `Picture`.
        spec: the model's input.
        path: of the file; one that is there is replaced, unless it is the picture.
        photo: see `to_pixels`.

    Raises:
        PictureError: the picture cannot be read; no file is written.
        OutputError: the file cannot be written.
    """
    pixels = to_pixels(picture, spec, photo=photo)
    target = Path(path)
    if not target.parent.is_dir():
        raise OutputError(f"cannot write '{target}': there is no folder '{target.parent}'")
    if isinstance(picture, (str, os.PathLike)) and target.exists() and target.samefile(picture):
        raise OutputError(f"cannot write '{target}': it is the picture itself")
    image = Image.fromarray(pixels[:, :, 0] if spec.channels == 1 else pixels)
    png = io.BytesIO()
    image.save(png, "png")
    atomic.write(target, png.getvalue())
