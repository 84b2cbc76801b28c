"""For commands: native libraries' chatter kept off the terminal."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["filter_native_stderr"]


@contextlib.contextmanager
def filter_native_stderr() -> Iterator[None]:
    """Send file descriptor 2 to nowhere for a while; Python's own ``sys.stderr`` goes on.

    TFLite prints "INFO: Created TensorFlow Lite XNNPACK delegate for CPU." from C++ each time a
    model is opened, and offers Python no switch for it; TensorFlow is no better. What goes wrong
    is raised as an exception all the same. Affects the whole process, so this is for commands,
    not for libraries.
    """
    if sys.stderr is None:  # closed by whoever started the process
        yield
        return
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    python_stderr = sys.stderr
    python_stderr.flush()
    if _descriptor(python_stderr) == 2:  # noqa: PLR2004
        sys.stderr = os.fdopen(
            saved, "w", 1, python_stderr.encoding, python_stderr.errors, closefd=False
        )
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        with contextlib.suppress(OSError):  # its reader has gone
            sys.stderr.flush()
        sys.stderr = python_stderr
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def _descriptor(stream: TextIO) -> int | None:
    """None for a stream in memory, as tests put in the place of stderr."""
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None
