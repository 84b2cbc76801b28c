"""The process of a command that trains, set up for TensorFlow."""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["set_up"]

# of glibc's mallopt(3)
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
_NEVER = -1
_TOP_PAD_BYTES = 1 << 26


def set_up() -> None:
    """Let freed memory stay with the process, and TensorFlow use oneDNN on every processor.

    A step of training frees all its tensors. glibc gives blocks of their size back to the kernel,
    which hands them out again page by page, emptied: that took half of the time. Where there is
    another C library, nothing is set. TensorFlow takes oneDNN's kernels of itself only on
    processors with AVX-512; ``TF_ENABLE_ONEDNN_OPTS=0`` refuses them.

    To be called before TensorFlow is imported. Affects the whole process, so it is for commands.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_ARENA_MAX, 1)  # of several, each but the first gives back what it can
        mallopt(_TRIM_THRESHOLD, _NEVER)
        mallopt(_TOP_PAD, _TOP_PAD_BYTES)
