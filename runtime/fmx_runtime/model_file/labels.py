"""The names of classes: read from a text file, or numbered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["numbered_labels", "read_distinct_labels", "read_labels"]


def read_labels(path: Path) -> tuple[str, ...]:
    """Return the class names in a text file, one on each line, in the order of the outputs.

    The file is UTF-8, with or without a byte order mark. White space around a name and empty lines
    at the end are ignored.

    Raises:
        DataError: the file cannot be read, is empty, or has an empty line between names.
    """
    try:
        lines = path.read_text("utf-8-sig").rstrip().split("\n")
    except FileNotFoundError as error:
        raise DataError(f"'{path}' (labels) does not exist") from error
    except OSError as error:
        raise DataError(f"'{path}' (labels) cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"'{path}' (labels) is not UTF-8 text: {error.reason} at byte {error.start}"
        ) from error
    names = [line.strip() for line in lines]
    if names == [""]:
        raise DataError(f"'{path}' (labels) is empty; write one class name on each line")
    if "" in names:
        raise DataError(f"'{path}' (labels): line {names.index('') + 1} is empty; remove it")
    return tuple(names)


def read_distinct_labels(path: Path) -> tuple[str, ...]:
    """Return the class names in a text file, see `read_labels`; no two of them are equal.

    Raises:
        DataError: the file cannot be read, is empty, has an empty line between names, or has a
            name twice.
    """
    names = read_labels(path)
    lines: dict[str, int] = {}
    for line, name in enumerate(names, 1):
        if name in lines:
            raise DataError(
                f"'{path}' (labels): line {line} repeats {name!r} of line {lines[name]}; "
                "class names must be distinct"
            )
        lines[name] = line
    return names


def numbered_labels(classes: int) -> tuple[str, ...]:
    """Return names for classes whose names are not known: ``class-0``, ``class-1``, and so on."""
    return tuple(f"class-{number}" for number in range(classes))
