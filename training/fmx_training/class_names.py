"""The names of a network's classes: from a file, or by number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["numbered", "read_names"]


def read_names(path: Path) -> tuple[str, ...]:
    """The class names in a text file: one a line, in the order of the network's outputs.

    UTF-8, with or without a byte order mark; white space around a name and empty lines at the end
    do not count.

    Raises:
        DataError: the file cannot be read, names no class, has an empty line between names, or
            has a name twice.
    """
    try:
        lines = path.read_text("utf-8-sig").rstrip().split("\n")
    except FileNotFoundError as error:
        raise DataError(f"'{path}' (labels) does not exist") from error
    except OSError as error:
        raise DataError(f"'{path}' (labels) cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"'{path}' (labels) is no text in UTF-8: {error.reason} at byte {error.start}"
        ) from error
    names = [line.strip() for line in lines]
    if names == [""]:
        raise DataError(f"'{path}' (labels) is empty; write one class name a line")
    seen: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if not name:
            raise DataError(f"'{path}' (labels): line {number} is empty; take it out")
        if name in seen:
            raise DataError(
                f"'{path}' (labels): line {number} says {name!r}, as line {seen[name]} does; "
                "each class needs a name of its own"
            )
        seen[name] = number
    return tuple(names)


def numbered(classes: int) -> tuple[str, ...]:
    """Names where nothing is known: ``class-0``, ``class-1``, and so on."""
    return tuple(f"class-{index}" for index in range(classes))
