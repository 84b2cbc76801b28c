from __future__ import annotations

import sys

import pytest

from fmx_runtime.command.messages import print_message, printable


def test_print_message(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A message is one line on stderr; without a stderr, nothing is printed."""
    print_message(ValueError("two\nlines"))
    assert capsys.readouterr() == ("", "fmx-run: two\\nlines\n")
    monkeypatch.setattr(sys, "stderr", None)
    print_message("nobody reads this")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é 日本 👟.png", "plain é 日本 👟.png"),
        ("narrow\u202fand wide\u3000spaces", "narrow\u202fand wide\u3000spaces"),
        ("two\nlines\r\t", "two\\nlines\\r\\t"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("backwards\u202egnp.exe", "backwards\\u202egnp.exe"),
        ("line\u2028separator\x85", "line\\u2028separator\\x85"),
        ("caf\udce9", "caf\\udce9"),
    ],
)
def test_printable(text: str, expected: str) -> None:
    """Characters that would affect a terminal are escaped, and nothing else."""
    assert printable(text) == expected
