"""Show the progress of a job on a terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fmx_runtime.command.status_line import StatusLine

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

__all__ = ["Progress"]

_DELAY_SECONDS = 1.0  # jobs that end earlier show no progress
_INTERVAL_SECONDS = 0.1  # between two updates
_WHOLE_RATE = 10  # images per second; slower rates are shown with one decimal


class Progress:
    """A line like ``1,234 of 10,000 images, 8,120/s``; nothing if there is no terminal."""

    def __init__(self, stream: TextIO | None, count_images: Callable[[], int | None]) -> None:
        """Start the clock; nothing is shown yet.

        Args:
            stream: where the line is shown if it is a terminal.
            count_images: returns the number of images, or None if it is unknown; called once, when
                the line is first shown.
        """
        self._line = StatusLine(stream) if stream is not None and stream.isatty() else None
        self._count_images = count_images
        self._total = ""  # until the line is first shown
        self._is_cleared = False
        self._done = 0
        self._start = time.monotonic()
        self._next_update = self._start + _DELAY_SECONDS

    def step(self) -> None:
        """Count one more image as done."""
        self._done += 1
        if self._line and (self._is_cleared or time.monotonic() >= self._next_update):
            if not self._total:
                total = self._count_images()
                self._total = " " if total is None else f" of {total:,} "
            self._next_update = time.monotonic() + _INTERVAL_SECONDS
            self._is_cleared = False
            self._line.show(self._text())

    def clear(self) -> None:
        """Remove the line before other output; the next step shows it again."""
        if self._line and self._total:
            self._line.clear()
            self._is_cleared = True

    def end(self, *, keep: bool) -> None:
        """End the display.

        Args:
            keep: whether the line, if one was shown, stays on the terminal in its last state.
        """
        if self._line and self._total and keep:
            self._line.show(self._text())
            self._line.leave()
        self.clear()

    def _text(self) -> str:
        rate = self._done / (time.monotonic() - self._start)
        decimals = 0 if rate >= _WHOLE_RATE else 1
        return f"{self._done:,}{self._total}images, {rate:,.{decimals}f}/s"
