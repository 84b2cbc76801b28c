"""Which images a name on the command line means: a file, a folder, or a pattern."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, NamedTuple

from fmx_runtime.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["SUFFIXES", "Found", "count", "expand", "matching"]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"})
"""What counts as an image inside a folder; a file that is named is tried whatever its name."""

_MAGIC = frozenset("*?[")


class Found(NamedTuple):
    """An image's path; or what is no image, and why."""

    path: str
    error: ImageError | None = None


def expand(name: str) -> Iterator[Found]:
    """A file as itself, also where there is none; a folder as the images below it.

    Each folder's names are sorted, hidden ones left out. Links to folders are followed, except
    into a folder that they are in. No more than the names of the folders on the way down to an
    image is kept in memory. A folder that may not be read, or has no image below it, is found
    as an error, and the search goes on.
    """
    if not _is_folder(name):
        yield Found(name)
        return
    found = False
    for path, is_folder, error in _walk(name):
        if error:
            found = True
            yield Found(path, ImageError(f"folder '{path}' may not be read: {error.strerror}"))
        elif not is_folder and _suffix(path) in SUFFIXES:
            found = True
            yield Found(path)
    if not found:
        yield Found(name, ImageError(f"folder '{name}' has no image in it"))


def matching(pattern: str) -> Iterator[Found]:
    """What a name means that may be a pattern, as shells know them, which no shell has expanded.

    ``*``, ``?`` and ``[...]`` stand for parts of one name, ``**`` for any folders, also none. What
    really has the name is not taken for a pattern. What matches is found as if it had been named;
    but ``**`` stands for folders already, so that those that match are not searched again.
    """
    if _MAGIC.isdisjoint(pattern) or os.path.lexists(pattern):
        yield from expand(pattern)
        return
    parts = [part for part in pattern.split("/") if part]
    images_only = parts[-1] == "**"
    if images_only:
        parts.append("*")
    found = False
    start = "/" if pattern.startswith("/") else ""
    for path in _matches(start, parts):
        is_folder = _is_folder(path)
        if (is_folder and "**" in parts) or (images_only and _suffix(path) not in SUFFIXES):
            continue
        found = True
        yield from expand(path) if is_folder else [Found(path)]
    if not found:
        yield Found(pattern, ImageError(f"no file matches '{pattern}'"))


def count(names: Sequence[str], *, patience: float = 0.2) -> int | None:
    """How many images (and errors) names mean, None if that takes more than so many seconds."""
    import time

    latest = time.monotonic() + patience
    total = 0
    for name in names:
        for _ in matching(name):
            total += 1
            if time.monotonic() > latest:
                return None
    return total


class _Entry(NamedTuple):
    path: str
    is_folder: bool
    error: OSError | None = None
    """Why a folder's names cannot be had."""


class _Folder:
    """A folder that is being searched."""

    def __init__(self, path: str) -> None:
        status = os.stat(path)  # noqa: PTH116  paths stay the text that they are here
        self.identity = status.st_dev, status.st_ino
        self.entries = iter(_entries(path))


def _walk(folder: str) -> Iterator[_Entry]:
    """A folder, and the files and folders below it, each folder before what is in it."""
    inside: list[_Folder] = []
    entry: _Entry | None = _Entry(folder, is_folder=True)
    # no recursion: folders can be nested deeper than Python's calls
    while True:
        if entry is None:
            inside.pop()
        elif not entry.is_folder:
            yield entry
        else:
            try:
                below = _Folder(entry.path)
            except OSError as error:
                yield entry._replace(error=error)
            else:
                if all(below.identity != above.identity for above in inside):
                    inside.append(below)
                    yield entry
        if not inside:
            return
        entry = next(inside[-1].entries, None)


def _entries(folder: str) -> list[_Entry]:
    """The files and folders in a folder that are not hidden, sorted by name."""
    prefix = _prefix(folder)
    with os.scandir(folder) as all_entries:
        found = [(entry.name, _kind(entry)) for entry in all_entries if entry.name[0] != "."]
    return [_Entry(prefix + name, kind == "folder") for name, kind in sorted(found) if kind]


def _kind(entry: os.DirEntry[str]) -> Literal["", "file", "folder"]:
    """Nothing for pipes and devices, and for links that lead nowhere."""
    try:
        if entry.is_dir():
            return "folder"
        return "file" if entry.is_file() else ""
    except OSError:  # a link to itself
        return ""


def _matches(prefix: str, parts: list[str]) -> Iterator[str]:
    """The files and folders that ``parts``, names or patterns, lead to from ``prefix``."""
    part, rest = parts[0], parts[1:]
    if part == "**":
        for entry in _walk(prefix or "."):
            if entry.is_folder and not entry.error:
                yield from _matches(_prefix(entry.path), rest)
        return
    for name in [part] if _MAGIC.isdisjoint(part) else _names(prefix, part):
        if rest and _is_folder(prefix + name):
            yield from _matches(f"{prefix}{name}/", rest)
        elif not rest and os.path.lexists(prefix + name):
            yield prefix + name


def _names(prefix: str, pattern: str) -> list[str]:
    """What matches in a folder; nothing, as in shells, where that may not be read."""
    from fnmatch import filter as matching_names

    try:
        with os.scandir(prefix or ".") as entries:
            found = [entry.name for entry in entries if _kind(entry)]
    except OSError:
        return []
    hidden = pattern.startswith(".")
    return sorted(name for name in matching_names(found, pattern) if name[0] != "." or hidden)


def _prefix(folder: str) -> str:
    """What comes before the names of a folder's files."""
    if folder == ".":
        return ""
    return folder if folder.endswith("/") else f"{folder}/"


def _is_folder(path: str) -> bool:
    return os.path.isdir(path)  # noqa: PTH112  Path.is_dir raises on names that are too long


def _suffix(path: str) -> str:
    return path[path.rfind(".") :].lower()
