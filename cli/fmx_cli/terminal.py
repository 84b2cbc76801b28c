"""Where the commands print."""

from __future__ import annotations

from rich.console import Console

__all__ = ["note", "out"]

out = Console(highlight=False)
"""Results: stdout."""

_err = Console(stderr=True, highlight=False)


def note(message: str) -> None:
    """Say on stderr what is being done."""
    _err.print(message, style="dim", markup=False, soft_wrap=True)
