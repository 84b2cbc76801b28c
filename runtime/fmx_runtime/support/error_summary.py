"""Summarize an exception in one line."""

from __future__ import annotations

__all__ = ["error_summary"]


def error_summary(error: BaseException) -> str:
    """Return the first line of an exception's message, or its type's name if there is none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
