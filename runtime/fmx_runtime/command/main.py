"""The entry point of ``fmx-run``: signals, errors and exit codes.

Modules that take time to import are imported where they are used, so that Ctrl-C during an import
is handled by `main`.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from fmx_runtime.command.messages import print_message
from fmx_runtime.command.signals import SIGNAL_EXIT_CODE, signals_as_interrupts
from fmx_runtime.errors import FmxError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["main"]

_INTERRUPTED_EXIT_CODE = 130  # 128 + SIGINT


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``fmx-run`` and return its exit code.

    SIGINT and SIGTERM end the command without a traceback, from here until this function returns.
    Signals that arrive before, while Python starts, or after are handled by Python.

    Args:
        arguments: of the command line; None for those of this process.

    Raises:
        SystemExit: the arguments are wrong (exit code 2), or ask for help.
    """
    received: list[int] = []
    try:
        with signals_as_interrupts(received):
            from fmx_runtime.command.arguments import parse_arguments

            return _run_handling_errors(parse_arguments(arguments), received)
    except KeyboardInterrupt:
        return SIGNAL_EXIT_CODE + received[0] if received else _INTERRUPTED_EXIT_CODE
    except Exception:
        # during some imports, a KeyboardInterrupt becomes another exception
        if received:
            return SIGNAL_EXIT_CODE + received[0]
        raise


def _run_handling_errors(options: argparse.Namespace, received: Sequence[int]) -> int:
    import warnings

    from fmx_runtime.command.run import run
    from fmx_runtime.support.stderr_filter import filter_native_stderr

    try:
        with filter_native_stderr(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return run(options)
    except FmxError as error:
        if received:  # a failed import of an interpreter, which the signal interrupted
            raise KeyboardInterrupt from error
        print_message(error)
        return error.exit_code
    except KeyboardInterrupt:
        if options.watch or options.camera:  # the normal way to end these modes
            return 0
        raise
    except OSError as error:
        _discard_stdout()
        if isinstance(error, BrokenPipeError):  # the reader has ended, as in 'fmx-run ... | head'
            return 0
        print_message(f"cannot write the results: {error.strerror or error}")
        return 1


def _discard_stdout() -> None:
    """Redirect stdout to the null device, so that Python's flush at exit cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
