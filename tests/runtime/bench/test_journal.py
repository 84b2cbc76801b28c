"""The journal of a benchmark in progress."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest

from fmx_runtime.bench.journal import Journal
from fmx_runtime.errors import DataError, OutputError

if TYPE_CHECKING:
    from pathlib import Path


def _interrupt(path: Path, conditions: dict[str, object], **steps: object) -> None:
    """Record steps, and leave the journal by an exception."""
    with (
        contextlib.suppress(KeyboardInterrupt),
        Journal(path, conditions, resume=False) as journal,
    ):
        for step, value in steps.items():
            journal.once(step, lambda value=value: value)
        raise KeyboardInterrupt


def test_a_finished_journal_is_removed(tmp_path: Path) -> None:
    """The file is there while the block runs, and gone when it ends without an exception."""
    path = tmp_path / "x.part"
    with Journal(path, {"a": 1}, resume=False) as journal:
        journal.once("one", lambda: 1)
        assert path.exists()
    assert not path.exists()


def test_steps_are_written_at_once(tmp_path: Path) -> None:
    """Each step is in the file before the next one starts, after the conditions."""
    path = tmp_path / "x.part"
    with Journal(path, {"a": (1, 2)}, resume=False) as journal:
        assert journal.once("one", lambda: (1, 2)) == [1, 2]
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        assert lines == [{"a": [1, 2]}, {"step": "one", "value": [1, 2]}]


def test_a_cut_off_line_is_measured_again(tmp_path: Path) -> None:
    """A last line that was cut off is done again, the others are not."""
    path = tmp_path / "x.part"
    _interrupt(path, {"a": 1}, one=(1, 2), two=2)
    path.write_text(path.read_text("utf-8")[:-5], "utf-8")
    with Journal(path, {"a": 1}, resume=True) as journal:
        assert journal.once("one", lambda: 0) == [1, 2]
        assert journal.once("two", lambda: 3) == 3
    assert not path.exists()


def test_without_resume_all_starts_again(tmp_path: Path) -> None:
    """A journal that is there is overwritten."""
    path = tmp_path / "x.part"
    _interrupt(path, {"a": 1}, one=1)
    with Journal(path, {"a": 1}, resume=False) as journal:
        assert journal.once("one", lambda: 2) == 2


def test_what_cannot_be_resumed(tmp_path: Path) -> None:
    """A missing journal and other conditions are one line each; the latter are named."""
    path = tmp_path / "x.part"
    with pytest.raises(DataError, match=r"nothing to resume: .* run without --resume"):
        Journal(path, {}, resume=True)
    _interrupt(path, {"same": (1, 2), "other": 1})
    with pytest.raises(DataError, match="with other other; start again without --resume"):
        Journal(path, {"same": (1, 2), "other": 2}, resume=True)
    with pytest.raises(OutputError, match="cannot write to"):
        Journal(tmp_path / "missing" / "x.part", {}, resume=False)


def test_a_failed_step_is_not_recorded(tmp_path: Path) -> None:
    """A step that raises is done again the next time."""
    with Journal(tmp_path / "x.part", {}, resume=False) as journal:
        with pytest.raises(ZeroDivisionError):
            journal.once("one", lambda: 1 // 0)
        assert journal.once("one", lambda: 1) == 1


def test_nan_is_refused(tmp_path: Path) -> None:
    """What is not JSON is not written."""
    with Journal(tmp_path / "x.part", {}, resume=False) as journal:
        with pytest.raises(ValueError, match="not JSON compliant"):
            journal.once("one", lambda: float("nan"))
        assert journal.once("one", lambda: 1) == 1
