"""The images that are asked about, wherever they come from, each as it comes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from fmx_runtime.errors import ImageError
from fmx_runtime.sources.paths import expand, matching

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fmx_runtime.images.preprocess import ImageLike

__all__ = ["STDIN", "InputImage", "filmed", "named", "watched"]

STDIN = "-"
"""Stands for the standard input among names, and for an image that came from there."""

_CREDENTIALS = re.compile(r"(?<=://)[^/@]*@")


class InputImage(NamedTuple):
    """An image, or why there is none, and what it is called."""

    path: str
    image: ImageLike | ImageError
    frame: int | None = None
    """Its number among the frames of a camera, from 0."""


def named(names: Iterable[str]) -> Iterator[InputImage]:
    """The images that names on a command line mean: files, folders, patterns and ``-``."""
    for name in names:
        if name == STDIN:
            yield from _sent()
        else:
            for path, error in matching(name):
                yield InputImage(path, error or path)


def watched(folder: str) -> Iterator[InputImage]:
    """Each new image in a folder, without an end, see `fmx_runtime.sources.watch.new_images`."""
    from pathlib import Path

    from fmx_runtime.sources.watch import new_images

    for path in new_images(Path(folder)):
        yield InputImage(str(path), str(path))


def filmed(source: str) -> Iterator[InputImage]:
    """Each frame of a camera or a video, see `fmx_runtime.sources.camera.frames`.

    Named by the camera's number or the video's file or URL, without a password that is in it.
    """
    from fmx_runtime.sources.camera import frames

    name = f"camera:{_CREDENTIALS.sub('', source)}"
    for number, frame in enumerate(frames(source)):
        yield InputImage(name, frame, number)


def _sent() -> Iterator[InputImage]:
    """The image, or the images that the paths mean, on the standard input."""
    from fmx_runtime.sources import stdin

    try:
        sent = stdin.read()
        if isinstance(sent, bytes):
            yield InputImage(STDIN, sent)
            return
        for name in sent:
            for path, error in expand(name):
                yield InputImage(path, error or path)
    except ImageError as problem:
        yield InputImage(STDIN, problem)
