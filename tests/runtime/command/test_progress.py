from __future__ import annotations

import io
import re

import pytest

from fmx_runtime.command import progress
from fmx_runtime.command.progress import Progress


class Terminal(io.StringIO):
    """A stream that is taken for a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True

    def shown(self) -> list[str]:
        """Return each state in turn, without the spaces that remove others."""
        return [state.rstrip() for state in re.split("[\r\n]", self.getvalue()) if state.strip()]


@pytest.fixture
def _no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show each step."""
    monkeypatch.setattr(progress, "_DELAY_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_INTERVAL_SECONDS", 0.0)


@pytest.mark.usefixtures("_no_delay")
def test_states() -> None:
    """The line shows how many of how many images are done, and how fast."""
    terminal = Terminal()
    work = Progress(terminal, lambda: 12_345)
    for _ in range(1234):
        work.step()
    shown = terminal.shown()
    assert len(shown) == 1234
    assert re.fullmatch(r"1 of 12,345 images, [\d,]+/s", shown[0])
    assert re.fullmatch(r"1,234 of 12,345 images, [\d,]+/s", shown[-1])


@pytest.mark.usefixtures("_no_delay")
def test_unknown_total() -> None:
    """An unknown total is left out; images are counted once."""
    terminal = Terminal()
    counted = []
    work = Progress(terminal, lambda: counted.append(1))
    work.step()
    work.step()
    assert re.fullmatch(r"2 images, [\d,.]+/s", terminal.shown()[-1])
    assert counted == [1]


@pytest.mark.usefixtures("_no_delay")
@pytest.mark.parametrize("keep", [True, False])
def test_end(keep: bool) -> None:
    """At the end the line is removed, or stays in its last state."""
    terminal = Terminal()
    work = Progress(terminal, lambda: 1)
    work.step()
    work.end(keep=keep)
    assert re.search(r"/s *\n$" if keep else r" \r$", terminal.getvalue())


def test_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """After `clear`, the line is removed until the next step."""
    monkeypatch.setattr(progress, "_DELAY_SECONDS", 0.0)
    terminal = Terminal()
    work = Progress(terminal, lambda: None)
    work.step()
    work.step()
    assert len(terminal.shown()) == 1
    work.clear()
    assert terminal.getvalue().endswith(" \r")
    work.step()
    assert terminal.shown()[-1].startswith("3 images")


def test_short_jobs() -> None:
    """Jobs of less than a second show nothing, however they end."""
    terminal = Terminal()
    work = Progress(terminal, lambda: 100)
    for _ in range(100):
        work.clear()
        work.step()
    work.end(keep=True)
    assert terminal.getvalue() == ""


@pytest.mark.usefixtures("_no_delay")
@pytest.mark.parametrize("stream", [io.StringIO(), None])
def test_no_terminal(stream: io.StringIO | None) -> None:
    """In a pipe, or without a stream, nothing is shown or counted."""
    work = Progress(stream, lambda: pytest.fail("counted"))
    work.step()
    work.end(keep=True)
    assert stream is None or stream.getvalue() == ""
