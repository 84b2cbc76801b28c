"""Read class names from a text file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_labels"]


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
