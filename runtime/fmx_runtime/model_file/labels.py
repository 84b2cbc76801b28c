"""The names of a network's classes, in a text file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_labels"]


def read_labels(path: Path) -> tuple[str, ...]:
    """The class names in a text file: one a line, in the order of the network's outputs.

    UTF-8, with or without a byte order mark; white space around a name and empty lines at the end
    do not count.

    Raises:
        DataError: the file cannot be read, names no class, or has an empty line between names.
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
    if "" in names:
        raise DataError(f"'{path}' (labels): line {names.index('') + 1} is empty; take it out")
    return tuple(names)
