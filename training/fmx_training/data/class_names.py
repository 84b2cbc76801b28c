"""The names of a network's classes: from a file, or by number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_runtime.errors import DataError
from fmx_runtime.model_file.labels import read_labels

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["numbered", "read_names"]


def read_names(path: Path) -> tuple[str, ...]:
    """The class names in a text file, see `fmx_runtime.model_file.labels.read_labels`; no two are alike.

    Raises:
        DataError: the file cannot be read, names no class, has an empty line between names, or
            has a name twice.
    """
    names = read_labels(path)
    seen: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if name in seen:
            raise DataError(
                f"'{path}' (labels): line {number} says {name!r}, as line {seen[name]} does; "
                "each class needs a name of its own"
            )
        seen[name] = number
    return names


def numbered(classes: int) -> tuple[str, ...]:
    """Names where nothing is known: ``class-0``, ``class-1``, and so on."""
    return tuple(f"class-{index}" for index in range(classes))
