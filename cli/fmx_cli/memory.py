"""How the process of a command that trains deals with memory."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed"]

# of glibc's mallopt(3)
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
_NEVER = -1
_TOP_PAD_BYTES = 1 << 26


def keep_freed() -> None:
    """Let freed memory stay with the process; with another C library than glibc nothing changes.

    A step of training frees all its tensors. glibc gives blocks of their size back to the kernel,
    which hands them out again page by page, emptied: that took half of the time. Affects the whole
    process, so this is for commands, not for libraries.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_ARENA_MAX, 1)  # of several, each but the first gives back what it can
        mallopt(_TRIM_THRESHOLD, _NEVER)
        mallopt(_TOP_PAD, _TOP_PAD_BYTES)
