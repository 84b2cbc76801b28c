"""A line on a terminal that is shown, rewritten and taken away again."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["StatusLine"]

_COLUMNS = 80  # of a terminal that does not know


class StatusLine:
    """The line that a terminal's cursor is on. No escape sequences: any terminal can do it."""

    def __init__(self, terminal: TextIO) -> None:
        """Nothing is shown yet."""
        self._terminal = terminal
        self._shown = 0

    def show(self, text: str) -> None:
        """Show a text, cut where the line ends, in the place of what was shown."""
        # the last column stays free: in it, some terminals begin a new line
        text = text[: _columns(self._terminal) - 1]
        self._write(f"\r{text.ljust(self._shown)}")
        self._shown = len(text)

    def clear(self) -> None:
        """Take away what is shown."""
        if self._shown:
            self._write(f"\r{' ' * self._shown}\r")
            self._shown = 0

    def leave(self) -> None:
        """Leave what is shown where it is, and go to a new line."""
        if self._shown:
            self._write("\n")
            self._shown = 0

    def _write(self, text: str) -> None:
        self._terminal.write(text)
        self._terminal.flush()


def _columns(terminal: TextIO) -> int:
    with contextlib.suppress(OSError, ValueError):
        return os.get_terminal_size(terminal.fileno()).columns or _COLUMNS
    return _COLUMNS
