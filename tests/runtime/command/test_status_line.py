from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import termios

from fmx_runtime.command.status_line import StatusLine


def screen(text: str) -> list[str]:
    """Return the lines that a terminal shows after a text was written to it."""
    lines, column = [""], 0
    for character in text:
        if character == "\r":
            column = 0
        elif character == "\n":
            lines.append("")
            column = 0
        else:
            line = lines[-1].ljust(column)
            lines[-1] = line[:column] + character + line[column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


def test_show_clear_leave() -> None:
    """A text replaces the last one, is removed, or stays."""
    terminal = io.StringIO()
    line = StatusLine(terminal)
    line.clear()
    line.leave()
    assert terminal.getvalue() == ""
    line.show("a long text")
    line.show("short")
    assert screen(terminal.getvalue()) == ["short"]
    line.clear()
    terminal.write("a result\n")
    line.show("again")
    assert screen(terminal.getvalue()) == ["a result", "again"]
    line.leave()
    terminal.write("next")
    assert screen(terminal.getvalue()) == ["a result", "again", "next"]


def test_width() -> None:
    """A text is cut before the last column: a second line could not be removed."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 20, 0, 0))
    with os.fdopen(follower, "w", encoding="utf-8") as terminal:
        StatusLine(terminal).show("x" * 50)
        assert os.read(leader, 1000) == b"\r" + b"x" * 19
    os.close(leader)
    unknown = io.StringIO()
    StatusLine(unknown).show("x" * 500)
    assert unknown.getvalue() == "\r" + "x" * 79
