"""Results that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import TYPE_CHECKING

from fmx_runtime.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["make_folder", "moving", "replacing", "sync", "write"]


def make_folder(path: Path) -> Path:
    """Make a folder for results, with its parents, and try that files can be written to it.

    Called before the work whose results go there, so that none is done in vain.

    Raises:
        OutputError: it cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise _refused(path, error) from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder, and rename it to ``path`` when all went well.

    Whoever reads ``path`` meanwhile, or after a crash, finds the old file whole or the new one.

    Raises:
        OutputError: the file cannot be written; what stood there before is untouched.
    """
    # the suffix stays, as some writers choose the format by it
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write(path: Path, content: str | bytes) -> None:
    """Write a whole file, see `replacing`."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def moving(folder: Path) -> Iterator[None]:
    """Explain what the system refuses while files are moved in ``folder``.

    Raises:
        OutputError: whatever the system refused.
    """
    try:
        yield
    except OSError as error:
        raise _refused(folder, error) from error


def sync(path: Path) -> None:
    """Have what was written to a file, or to a folder's list of names, lie on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refused(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    if isinstance(error, FileExistsError):  # of a folder that could not be made
        reason = "it is a file, not a folder"
    return OutputError(
        f"cannot write to '{path}': {reason}; choose another place, or make room there"
    )
