"""Which files a list of paths on the command line means."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fmx_runtime.errors import PictureError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["SUFFIXES", "expand"]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"})
"""What counts as a picture inside a folder; a file that is named is tried whatever its name."""


def expand(path: Path) -> Iterator[Path]:
    """A file as itself, a folder as the pictures below it in sorted order.

    Raises:
        PictureError: a folder with no picture in it.
    """
    if not os.path.isdir(path):  # noqa: PTH112  Path.is_dir raises on names that are too long
        yield path
        return
    found = False
    for file in sorted(path.rglob("*")):
        if file.suffix.lower() in SUFFIXES and file.is_file():
            found = True
            yield file
    if not found:
        raise PictureError(f"folder '{path}' has no picture in it")
