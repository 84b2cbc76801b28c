"""For commands: native libraries' chatter kept off the terminal."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["native_stderr_silenced"]


@contextlib.contextmanager
def native_stderr_silenced() -> Iterator[None]:
    """Send file descriptor 2 to nowhere for a while.

    TFLite prints "INFO: Created TensorFlow Lite XNNPACK delegate for CPU." from C++ each time a
    model is opened, and offers Python no switch for it. What goes wrong is raised as an exception
    all the same. Affects the whole process, so this is for commands, not for libraries.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
