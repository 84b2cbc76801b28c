from __future__ import annotations

import signal
import subprocess
import sys
import threading

from fmx_runtime.command.signals import signals_as_interrupts

INTERRUPT_IN_A_CALLBACK = """
import signal, time, weakref
from fmx_runtime.command.signals import signals_as_interrupts
class Target: pass
target, received = Target(), []
try:
    with signals_as_interrupts(received):
        reference = weakref.ref(target, lambda _: signal.raise_signal(signal.SIGINT))
        del target
        time.sleep(5)
except KeyboardInterrupt:
    print("interrupted", received[0] == signal.SIGINT)
"""


def test_interrupt_in_a_callback() -> None:
    """An interrupt in a callback, which Python only reports, still ends the work."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPT_IN_A_CALLBACK], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("interrupted True\n", "")


IGNORED = """
import os, signal
from fmx_runtime.command.signals import signals_as_interrupts
signal.signal(signal.SIGINT, signal.SIG_IGN)
received = []
with signals_as_interrupts(received):
    os.kill(os.getpid(), signal.SIGINT)
    print(received)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except KeyboardInterrupt:
        print(received == [signal.SIGTERM])
print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)
print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
"""


def test_ignored_signals() -> None:
    """An ignored signal remains ignored, and the handlers are restored at the end."""
    done = subprocess.run(
        [sys.executable, "-c", IGNORED], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("[]\nTrue\nTrue\nTrue\n", "")


def test_other_threads() -> None:
    """In a thread other than the main one, nothing is changed."""
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def work() -> None:
        with signals_as_interrupts([]):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
