"""The processor cores that this process may use."""

from __future__ import annotations

import os

__all__ = ["last_core", "usable_cores"]


def usable_cores() -> int:
    """Return the number of logical cores that this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def last_core() -> int | None:
    """Return the number of the last core that this process may use.

    Operating systems handle most interrupts on the first cores, so measurements on the last one are
    disturbed least.

    Returns:
        The core's number, or None where processes cannot be bound to a core.
    """
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else None
