"""Find the images that a path means: a file, a folder, or a pattern."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, NamedTuple

from fmx_runtime.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["IMAGE_SUFFIXES", "FoundImage", "count_images", "expand_path", "expand_pattern"]

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"}
)
"""Suffixes of the files in a folder that are images. A file given by its path may have any."""

_PATTERN_CHARACTERS = frozenset("*?[")


class FoundImage(NamedTuple):
    """The path of an image; or a path without an image, and the error."""

    path: str
    error: ImageError | None = None


def expand_path(path: str) -> Iterator[FoundImage]:
    """Yield a file as it is, even if it does not exist; of a folder, yield all images in it.

    Folders are searched at any depth. The entries of each folder are sorted, and hidden ones are
    left out. Links to folders are followed, except into a folder that contains the link. Only the
    entries of the folders on the way down to an image are in memory. A folder that cannot be read,
    or contains no image, is yielded as an error, and the search goes on.
    """
    if not _is_folder(path):
        yield FoundImage(path)
        return
    is_empty = True
    for entry_path, is_folder, error in _walk(path):
        if error:
            is_empty = False
            yield FoundImage(
                entry_path,
                ImageError(
                    f"folder '{entry_path}' cannot be read: {error.strerror}: check its permissions"
                ),
            )
        elif not is_folder and _suffix(entry_path) in IMAGE_SUFFIXES:
            is_empty = False
            yield FoundImage(entry_path)
    if is_empty:
        yield FoundImage(
            path, ImageError(f"folder '{path}' contains no images: give a folder that does")
        )


def expand_pattern(pattern: str) -> Iterator[FoundImage]:
    """Yield the images of a path or of a pattern that no shell has expanded.

    ``*``, ``?`` and ``[...]`` match within a name, ``**`` matches any number of folders. A path
    that exists is not taken for a pattern. Matching folders are searched as by `expand_path`,
    except below ``**``, which matches the folders in them already.
    """
    if _PATTERN_CHARACTERS.isdisjoint(pattern) or os.path.lexists(pattern):
        yield from expand_path(pattern)
        return
    parts = [part for part in pattern.split("/") if part]
    images_only = parts[-1] == "**"
    if images_only:
        parts.append("*")
    has_match = False
    root = "/" if pattern.startswith("/") else ""
    for path in _matches(root, parts):
        is_folder = _is_folder(path)
        if (is_folder and "**" in parts) or (images_only and _suffix(path) not in IMAGE_SUFFIXES):
            continue
        has_match = True
        yield from expand_path(path) if is_folder else [FoundImage(path)]
    if not has_match:
        yield FoundImage(pattern, ImageError(f"no file matches '{pattern}': check the pattern"))


def count_images(paths: Sequence[str], *, timeout_s: float = 0.2) -> int | None:
    """Return the number of images and errors that paths mean; None if counting takes too long."""
    import time

    deadline = time.monotonic() + timeout_s
    total = 0
    for path in paths:
        for _ in expand_pattern(path):
            total += 1
            if time.monotonic() > deadline:
                return None
    return total


class _Entry(NamedTuple):
    """A file or a folder; ``error`` says why a folder cannot be read."""

    path: str
    is_folder: bool
    error: OSError | None = None


class _OpenFolder:
    """A folder that is being searched."""

    def __init__(self, path: str) -> None:
        status = os.stat(path)  # noqa: PTH116  paths remain strings here, as the user wrote them
        self.identity = status.st_dev, status.st_ino
        self.entries = iter(_list_folder(path))


def _walk(folder: str) -> Iterator[_Entry]:
    """Yield a folder, and all files and folders in it, each folder before its content."""
    open_folders: list[_OpenFolder] = []
    entry: _Entry | None = _Entry(folder, is_folder=True)
    # not recursive: folders can be nested deeper than Python's calls
    while True:
        if entry is None:
            open_folders.pop()
        elif not entry.is_folder:
            yield entry
        else:
            try:
                opened = _OpenFolder(entry.path)
            except OSError as error:
                yield entry._replace(error=error)
            else:
                # otherwise a link leads back to a folder that contains it
                if all(opened.identity != above.identity for above in open_folders):
                    open_folders.append(opened)
                    yield entry
        if not open_folders:
            return
        entry = next(open_folders[-1].entries, None)


def _list_folder(folder: str) -> list[_Entry]:
    """Return the files and folders in a folder, sorted by name, without hidden ones."""
    prefix = _prefix(folder)
    with os.scandir(folder) as entries:
        found = [(entry.name, _kind(entry)) for entry in entries if entry.name[0] != "."]
    return [_Entry(prefix + name, kind == "folder") for name, kind in sorted(found) if kind]


def _kind(entry: os.DirEntry[str]) -> Literal["", "file", "folder"]:
    """Return the kind of an entry; nothing for pipes, devices and links without a target."""
    try:
        if entry.is_dir():
            return "folder"
        return "file" if entry.is_file() else ""
    except OSError:  # a link to itself
        return ""


def _matches(prefix: str, parts: list[str]) -> Iterator[str]:
    """Yield the files and folders below ``prefix`` that match ``parts``, names or patterns."""
    part, rest = parts[0], parts[1:]
    if part == "**":
        for entry in _walk(prefix or "."):
            if entry.is_folder and not entry.error:
                yield from _matches(_prefix(entry.path), rest)
        return
    names = [part] if _PATTERN_CHARACTERS.isdisjoint(part) else _matching_names(prefix, part)
    for name in names:
        if rest and _is_folder(prefix + name):
            yield from _matches(f"{prefix}{name}/", rest)
        elif not rest and os.path.lexists(prefix + name):
            yield prefix + name


def _matching_names(prefix: str, pattern: str) -> list[str]:
    """Return the matching names in a folder; none, as in shells, if it cannot be read."""
    from fnmatch import filter as filter_names

    try:
        with os.scandir(prefix or ".") as entries:
            names = [entry.name for entry in entries if _kind(entry)]
    except OSError:
        return []
    match_hidden = pattern.startswith(".")
    return sorted(name for name in filter_names(names, pattern) if name[0] != "." or match_hidden)


def _prefix(folder: str) -> str:
    """Return what precedes the names of the files in a folder."""
    if folder == ".":
        return ""
    return folder if folder.endswith("/") else f"{folder}/"


def _is_folder(path: str) -> bool:
    return os.path.isdir(path)  # noqa: PTH112  Path.is_dir raises for names that are too long


def _suffix(path: str) -> str:
    return path[path.rfind(".") :].lower()
