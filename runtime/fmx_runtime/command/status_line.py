"""A line on a terminal that is shown, rewritten and removed."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["StatusLine"]

_DEFAULT_COLUMNS = 80  # if the width of the terminal is unknown


class StatusLine:
    """The terminal line with the cursor. No escape sequences are used, so any terminal shows it."""

    def __init__(self, terminal: TextIO) -> None:
        """Store the stream; nothing is shown yet."""
        self._terminal = terminal
        self._shown = 0  # characters

    def show(self, text: str) -> None:
        """Replace what is shown by a text, cut to the width of the terminal."""
        # the last column stays free: some terminals begin a new line when it is written
        text = text[: _terminal_columns(self._terminal) - 1]
        self._write(f"\r{text.ljust(self._shown)}")
        self._shown = len(text)

    def clear(self) -> None:
        """Remove what is shown."""
        if self._shown:
            self._write(f"\r{' ' * self._shown}\r")
            self._shown = 0

    def leave(self) -> None:
        """Leave what is shown on the terminal, and go to a new line."""
        if self._shown:
            self._write("\n")
            self._shown = 0

    def _write(self, text: str) -> None:
        self._terminal.write(text)
        self._terminal.flush()


def _terminal_columns(terminal: TextIO) -> int:
    with contextlib.suppress(OSError, ValueError):
        return os.get_terminal_size(terminal.fileno()).columns or _DEFAULT_COLUMNS
    return _DEFAULT_COLUMNS
