from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from fmx_runtime.support.stderr_filter import filter_native_stderr

if TYPE_CHECKING:
    import pytest


def run(code: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run code that finds ``filter_native_stderr``, ``os`` and ``sys``."""
    prelude = "import os, sys\nfrom fmx_runtime.support.stderr_filter import filter_native_stderr\n"
    return subprocess.run(
        [sys.executable, "-c", prelude + code],
        capture_output=True,
        text=True,
        check=False,
        **options,  # type: ignore[call-overload]
    )


def test_native_output_is_discarded() -> None:
    """What is written to descriptor 2 is discarded; Python's own lines stay, in their order."""
    done = run(
        "os.write(2, b'before\\n')\n"
        "with filter_native_stderr():\n"
        "    os.write(2, b'chatter\\n')\n"
        "    os.system('echo chatter >&2')\n"
        "    print('meanwhile', file=sys.stderr)\n"
        "    print('result')\n"
        "os.write(2, b'after\\n')\n"
        "print('at last', file=sys.stderr)\n"
    )
    assert done.stderr == "before\nmeanwhile\nafter\nat last\n"
    assert done.stdout == "result\n"


def test_nested_and_left_by_an_exception() -> None:
    """Afterwards stderr is restored and no descriptor stays open."""
    done = run(
        "before = os.listdir('/proc/self/fd')\n"
        "kept = sys.stderr\n"
        "try:\n"
        "    with filter_native_stderr(), filter_native_stderr():\n"
        "        print('inside', file=sys.stderr)\n"
        "        raise KeyError\n"
        "except KeyError:\n"
        "    pass\n"
        "os.write(2, b'after\\n')\n"
        "print(sys.stderr is kept, len(before) == len(os.listdir('/proc/self/fd')))\n"
    )
    assert done.stderr == "inside\nafter\n"
    assert done.stdout == "True True\n"


def test_undecodable_file_names() -> None:
    """A file name that is not UTF-8 is escaped, as Python does on stderr."""
    done = run("with filter_native_stderr():\n    print('caf\\udce9 ä', file=sys.stderr)\n")
    assert done.stderr == "caf\\udce9 ä\n"


def test_a_closed_stderr() -> None:
    """A process without a stderr still works, and no other file takes its place."""
    code = "with filter_native_stderr():\n    print('result')\n"
    done = run(code, preexec_fn=lambda: os.close(2))
    assert (done.returncode, done.stdout) == (0, "result\n")


def test_a_stream_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where stderr is not a file, as in a notebook, it is not replaced."""
    memory = io.StringIO()
    monkeypatch.setattr(sys, "stderr", memory)
    with filter_native_stderr():
        assert sys.stderr is memory
        print("kept", file=sys.stderr)  # noqa: T201
    assert memory.getvalue() == "kept\n"
