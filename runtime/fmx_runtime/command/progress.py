"""How far the work has come, on a terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fmx_runtime.command.status_line import StatusLine

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

__all__ = ["Progress"]

_PATIENCE = 1.0  # seconds; of work that is done by then nobody asks how far it is
_INTERVAL = 0.1  # seconds from one state that is shown to the next


class Progress:
    """A line like ``1,234 of 10,000 images  8,120/s``; nothing where there is no terminal."""

    def __init__(self, stream: TextIO | None, total: Callable[[], int | None]) -> None:
        """The work begins now.

        Args:
            stream: where the line goes if it is a terminal.
            total: asked once, when the line is first shown, how many images there are; None if
                that is not known.
        """
        self._line = StatusLine(stream) if stream is not None and stream.isatty() else None
        self._total = total
        self._of = ""  # until the line is first shown
        self._cleared = False
        self._done = 0
        self._start = time.monotonic()
        self._next = self._start + _PATIENCE

    def step(self) -> None:
        """One more image is done."""
        self._done += 1
        if self._line and (self._cleared or time.monotonic() >= self._next):
            if not self._of:
                total = self._total()
                self._of = " " if total is None else f" of {total:,} "
            self._next = time.monotonic() + _INTERVAL
            self._cleared = False
            self._line.show(self._state())

    def clear(self) -> None:
        """Make room for other lines on the terminal; the next step shows the line again."""
        if self._line and self._of:
            self._line.clear()
            self._cleared = True

    def end(self, *, stay: bool) -> None:
        """The work is over.

        Args:
            stay: whether the last state stays in view, where any was.
        """
        if self._line and self._of and stay:
            self._line.show(self._state())
            self._line.leave()
        self.clear()

    def _state(self) -> str:
        rate = self._done / (time.monotonic() - self._start)
        # slow networks on slow computers: 0.4 a second
        digits = 0 if rate >= 10 else 1  # noqa: PLR2004
        return f"  {self._done:,}{self._of}images  {rate:,.{digits}f}/s"
