"""Write files completely or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import TYPE_CHECKING

from fmx_runtime.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["as_output_error", "make_folder", "replacing", "sync", "write"]


def make_folder(path: Path) -> Path:
    """Create a folder for results, with its parents, and check that files can be written to it.

    Call it before long work whose results go there.

    Raises:
        OutputError: the folder cannot be created or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise _output_error(path, error) from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, which replaces ``path`` if nothing is raised.

    Other processes see the old file or the complete new one, also after a crash.

    Raises:
        OutputError: the file cannot be written; an earlier file is unchanged.
    """
    # the suffix stays: some writers choose the format by it
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
    except OSError as error:
        raise _output_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write(path: Path, content: str | bytes) -> None:
    """Write a whole file, text as UTF-8, see `replacing`."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def as_output_error(folder: Path) -> Iterator[None]:
    """Turn an `OSError` into an `OutputError` while files are moved in ``folder``.

    Raises:
        OutputError: a file cannot be moved.
    """
    try:
        yield
    except OSError as error:
        raise _output_error(folder, error) from error


def sync(path: Path) -> None:
    """Force a file's content, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _output_error(path: Path, error: OSError) -> OutputError:
    """Return the error with its path, the system's reason and what to do."""
    reason = error.strerror or str(error)
    if isinstance(error, FileExistsError):  # raised for a folder's path
        reason = "it is a file, not a folder"
    return OutputError(
        f"cannot write to '{path}': {reason}; choose another place, or make room there"
    )
