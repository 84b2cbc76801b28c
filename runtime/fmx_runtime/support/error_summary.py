"""Why something failed, in one line."""

from __future__ import annotations

__all__ = ["error_summary"]


def error_summary(error: BaseException) -> str:
    """The first line of what an exception says, its type's name where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
