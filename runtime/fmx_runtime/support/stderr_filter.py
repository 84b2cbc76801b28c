"""Keep messages of native libraries off the terminal."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["filter_native_stderr"]

_STDERR = 2  # its file descriptor


@contextlib.contextmanager
def filter_native_stderr() -> Iterator[None]:
    """Discard what native libraries write to stderr; Python's own ``sys.stderr`` still works.

    TFLite prints "INFO: Created TensorFlow Lite XNNPACK delegate for CPU." from C++ each time a
    model is opened, and has no option in Python to turn it off; TensorFlow does likewise. Errors
    are raised as exceptions all the same. File descriptor 2 is redirected for the whole process,
    so this is for commands, not for libraries.
    """
    if sys.stderr is None:  # the parent process closed it
        yield
        return
    saved = os.dup(_STDERR)
    null_device = os.open(os.devnull, os.O_WRONLY)
    python_stderr = sys.stderr
    python_stderr.flush()
    if _descriptor(python_stderr) == _STDERR:
        sys.stderr = os.fdopen(
            saved, "w", 1, python_stderr.encoding, python_stderr.errors, closefd=False
        )
    try:
        os.dup2(null_device, _STDERR)
        yield
    finally:
        with contextlib.suppress(OSError):  # the reader of a pipe has ended
            sys.stderr.flush()
        sys.stderr = python_stderr
        os.dup2(saved, _STDERR)
        os.close(saved)
        os.close(null_device)


def _descriptor(stream: TextIO) -> int | None:
    """Return a stream's file descriptor, or None for a stream in memory, as tests use."""
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None
