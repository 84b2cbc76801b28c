from __future__ import annotations

import io
import re

import pytest

from fmx_runtime.command import progress
from fmx_runtime.command.progress import Progress


class Terminal(io.StringIO):
    """What a program takes for a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True

    def shown(self) -> list[str]:
        """Each state in turn, without the spaces that take others away."""
        return [state.rstrip() for state in re.split("[\r\n]", self.getvalue()) if state.strip()]


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step is shown."""
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    monkeypatch.setattr(progress, "_INTERVAL", 0.0)


@pytest.mark.usefixtures("_impatient")
def test_states() -> None:
    """Each state says how many of how many are done, and how fast; thousands are marked."""
    terminal = Terminal()
    work = Progress(terminal, lambda: 12_345)
    for _ in range(1234):
        work.step()
    shown = terminal.shown()
    assert len(shown) == 1234
    assert re.fullmatch(r"  1 of 12,345 images  [\d,]+/s", shown[0])
    assert re.fullmatch(r"  1,234 of 12,345 images  [\d,]+/s", shown[-1])


@pytest.mark.usefixtures("_impatient")
def test_unknown_total() -> None:
    """Where nobody knows how many there are, that is left out; it is asked once."""
    terminal = Terminal()
    asked = []
    work = Progress(terminal, lambda: asked.append(1))
    work.step()
    work.step()
    assert re.fullmatch(r"  2 images  [\d,.]+/s", terminal.shown()[-1])
    assert asked == [1]


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("stay", [True, False])
def test_the_end(stay: bool) -> None:
    """At the end the line is taken away, or its last state stays on a line of its own."""
    terminal = Terminal()
    work = Progress(terminal, lambda: 1)
    work.step()
    work.end(stay=stay)
    assert re.search(r"/s *\n$" if stay else r" \r$", terminal.getvalue())


def test_room_for_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cleared, the line is away until the next step, and only until then."""
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    terminal = Terminal()
    work = Progress(terminal, lambda: None)
    work.step()
    work.step()
    assert len(terminal.shown()) == 1
    work.clear()
    assert terminal.getvalue().endswith(" \r")
    work.step()
    assert terminal.shown()[-1].startswith("  3 images")


def test_short_work_has_none() -> None:
    """Work that takes less than a second is done without a word, however it ends."""
    terminal = Terminal()
    work = Progress(terminal, lambda: 100)
    for _ in range(100):
        work.clear()
        work.step()
    work.end(stay=True)
    assert terminal.getvalue() == ""


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("stream", [io.StringIO(), None])
def test_no_terminal(stream: io.StringIO | None) -> None:
    """In a pipe, or without any stream, there is no progress, and nobody counts the work."""
    work = Progress(stream, lambda: pytest.fail("counted"))
    work.step()
    work.end(stay=True)
    assert stream is None or stream.getvalue() == ""
