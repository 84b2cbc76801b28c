"""The images to classify, one after the other, wherever they come from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from fmx_runtime.errors import ImageError
from fmx_runtime.sources.paths import expand_path, expand_pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fmx_runtime.images.preprocess import ImageLike

__all__ = ["STDIN", "InputImage", "from_camera", "from_paths", "from_watched_folder"]

STDIN = "-"
"""Means the standard input among paths, and is the path of an image that came from there."""

_CREDENTIALS = re.compile(r"(?<=://)[^/@]*@")


class InputImage(NamedTuple):
    """An image to classify.

    Attributes:
        path: what the results call the image.
        image: the image, or the error if there is none.
        frame: the number of the frame, from 0, for a camera or a video.
    """

    path: str
    image: ImageLike | ImageError
    frame: int | None = None


def from_paths(paths: Iterable[str]) -> Iterator[InputImage]:
    """Yield the images of a command line: files, folders, patterns and ``-``."""
    for path in paths:
        if path == STDIN:
            yield from _from_stdin()
        else:
            for found, error in expand_pattern(path):
                yield InputImage(found, error or found)


def from_watched_folder(folder: str) -> Iterator[InputImage]:
    """Yield each new image in a folder, endlessly, see `fmx_runtime.sources.watch.new_images`."""
    from pathlib import Path

    from fmx_runtime.sources.watch import new_images

    for path in new_images(Path(folder)):
        yield InputImage(str(path), str(path))


def from_camera(source: str) -> Iterator[InputImage]:
    """Yield each frame of a camera or a video, see `fmx_runtime.sources.camera.frames`.

    The path is ``camera:`` and the camera's number or the video's file or URL, without user name
    and password.
    """
    from fmx_runtime.sources.camera import frames

    path = f"camera:{_CREDENTIALS.sub('', source)}"
    for number, frame in enumerate(frames(source)):
        yield InputImage(path, frame, number)


def _from_stdin() -> Iterator[InputImage]:
    """Yield the image, or the images of the paths, on the standard input."""
    from fmx_runtime.sources import stdin

    try:
        content = stdin.read()
        if isinstance(content, bytes):
            yield InputImage(STDIN, content)
            return
        for path in content:
            for found, error in expand_path(path):
                yield InputImage(found, error or found)
    except ImageError as error:
        yield InputImage(STDIN, error)
