"""The pictures that are asked about, wherever they come from, each as it comes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from fmx_runtime.errors import PictureError
from fmx_runtime.pictures import expand, matching

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fmx_runtime.preprocess import Picture

__all__ = ["STDIN", "Question", "filmed", "named", "watched"]

STDIN = "-"
"""Stands for the standard input among names, and for a picture that came from there."""

_CREDENTIALS = re.compile(r"(?<=://)[^/@]*@")


class Question(NamedTuple):
    """A picture, or why there is none, and what it is called."""

    path: str
    picture: Picture | PictureError
    frame: int | None = None
    """Its number among the frames of a camera, from 0."""


def named(names: Iterable[str]) -> Iterator[Question]:
    """The pictures that names on a command line mean: files, folders, patterns and ``-``."""
    for name in names:
        if name == STDIN:
            yield from _sent()
        else:
            for path, error in matching(name):
                yield Question(path, error or path)


def watched(folder: str) -> Iterator[Question]:
    """Each new picture in a folder, without an end, see `fmx_runtime.watch.new_pictures`."""
    from pathlib import Path

    from fmx_runtime.watch import new_pictures

    for path in new_pictures(Path(folder)):
        yield Question(str(path), str(path))


def filmed(source: str) -> Iterator[Question]:
    """Each frame of a camera or a video, see `fmx_runtime.camera.frames`.

    Named by the camera's number or the video's file or URL, without a password that is in it.
    """
    from fmx_runtime.camera import frames

    name = f"camera:{_CREDENTIALS.sub('', source)}"
    for number, frame in enumerate(frames(source)):
        yield Question(name, frame, number)


def _sent() -> Iterator[Question]:
    """The picture, or the pictures that the paths mean, on the standard input."""
    from fmx_runtime import stdin

    try:
        sent = stdin.read()
        if isinstance(sent, bytes):
            yield Question(STDIN, sent)
            return
        for name in sent:
            for path, error in expand(name):
                yield Question(path, error or path)
    except PictureError as problem:
        yield Question(STDIN, problem)
