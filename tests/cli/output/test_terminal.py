"""Printing to stdout and stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_cli.output.terminal import bold, note, out, printable, progress_bar, show_steps

if TYPE_CHECKING:
    import pytest


def test_bold_keeps_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets in a value are printed, not interpreted as markup."""
    out.print(bold("runs/[red]mine[/]"))
    assert capsys.readouterr().out == "runs/[red]mine[/]\n"


def test_notes_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """A note is one line on stderr, however long, and its brackets are kept."""
    message = "[bold]" + "long " * 40 + "[/nothing]"
    note(message)
    captured = capsys.readouterr()
    assert captured.err == f"{message}\n"
    assert not captured.out


def test_steps_are_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """If stderr is not a terminal, each step is a line of its own."""
    with show_steps() as progress:
        progress("one")
        progress("two")
    assert capsys.readouterr().err == "one\ntwo\n"


def test_no_progress_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """If stderr is not a terminal, the items pass without a progress bar."""
    assert list(progress_bar(iter("abc"), 3, "reading")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_control_characters_are_replaced() -> None:
    """Escape sequences that would move the cursor or color the terminal are not printed."""
    assert printable("\x1b[31mdense_1\n") == "\ufffd[31mdense_1\ufffd"
    assert printable("Zürich →") == "Zürich →"
