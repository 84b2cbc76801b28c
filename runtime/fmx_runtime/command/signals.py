"""Turn SIGINT (Ctrl-C) and SIGTERM into KeyboardInterrupt while the command runs."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SIGNAL_EXIT_CODE", "signals_as_interrupts"]

SIGNAL_EXIT_CODE = 128
"""The exit code of a command that a signal ended is this plus the signal's number, as in shells."""

_RETRY_SECONDS = 0.02


@contextlib.contextmanager
def signals_as_interrupts(received: list[int]) -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGINT and SIGTERM, and restore the handlers at the end.

    A signal that is ignored, as in background jobs, remains ignored. In a thread other than the
    main one, where Python handles no signals, nothing is changed.

    Args:
        received: the numbers of the signals that arrive are appended to it.
    """
    import signal

    def interrupt(number: int, _: object) -> None:
        received.append(number)
        raise KeyboardInterrupt

    def raise_again(report: Any) -> None:
        # A KeyboardInterrupt in a callback, of an import for example, is reported and lost.
        if report.exc_type is KeyboardInterrupt:
            from threading import Timer

            Timer(_RETRY_SECONDS, signal.raise_signal, received[-1:]).start()
        else:
            previous_hook(report)

    default_handlers: dict[int, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
    }
    replaced = [
        number
        for number, handler in default_handlers.items()
        if signal.getsignal(number) == handler
    ]
    try:
        for number in replaced:
            signal.signal(number, interrupt)
    except ValueError:  # not in the main thread
        replaced = []
    previous_hook, sys.unraisablehook = sys.unraisablehook, raise_again
    try:
        yield
    finally:
        sys.unraisablehook = previous_hook
        for number in replaced:
            signal.signal(number, default_handlers[number])
