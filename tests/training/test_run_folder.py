"""Run folders: found again, and never overwritten."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fmx_runtime.errors import DataError, OutputError
from fmx_training import run_folder as runs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fmx_training.run_folder import Run


def test_a_run_is_what_was_created(begin: Callable[..., Run], tmp_path: Path) -> None:
    """Opening a run folder gives back all that it was created with."""
    run = begin(tmp_path / "run", epochs=7, seed=3)
    assert runs.open_run(run.folder) == run


def test_a_folder_holds_one_run(begin: Callable[..., Run], tmp_path: Path) -> None:
    """A second run in the same folder is refused, and the first is untouched."""
    run = begin(tmp_path / "run")
    before = (run.folder / "run.json").read_bytes()
    with pytest.raises(DataError, match=r"holds an unfinished run.*--resume"):
        begin(run.folder, seed=1)
    assert (run.folder / "run.json").read_bytes() == before


def test_a_finished_run_is_not_gone_on_with(begin: Callable[..., Run], tmp_path: Path) -> None:
    """For a folder with a finished run the remedy is another folder, not --resume."""
    run = begin(tmp_path / "run")
    run.metrics_path.write_text("{}", "utf-8")
    with pytest.raises(DataError, match=r"holds a finished run; choose another folder with -o"):
        begin(run.folder, seed=1)


def test_newest_looks_at_what_is_asked_for(begin: Callable[..., Run], tmp_path: Path) -> None:
    """The newest finished run and the newest unfinished run are told apart."""
    first, second, third = (begin(tmp_path / name) for name in "abc")
    for age, run in enumerate((third, second, first)):
        os.utime(run.folder / "run.json", (1e9 - age, 1e9 - age))
    for run in (first, second):
        run.metrics_path.write_text("{}", "utf-8")
    assert runs.newest_run(tmp_path, finished=True) == second
    assert runs.newest_run(tmp_path, finished=False) == third


def test_no_run_is_said(tmp_path: Path) -> None:
    """Neither an empty folder nor one without a run is a traceback."""
    with pytest.raises(DataError, match="no finished training run"):
        runs.newest_run(tmp_path, finished=True)
    with pytest.raises(DataError, match=r"no run\.json"):
        runs.open_run(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"recipe": 3}', "\x00"])
def test_a_damaged_run_file_is_named(text: str, tmp_path: Path) -> None:
    """A run.json that says something else is one line with its path."""
    (tmp_path / "run.json").write_text(text, "utf-8")
    with pytest.raises(DataError, match=r"run\.json"):
        runs.open_run(tmp_path)


def test_a_folder_that_cannot_be_made_is_said(begin: Callable[..., Run], tmp_path: Path) -> None:
    """An output path below a regular file gives an OutputError that names it."""
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(OutputError, match="cannot write to"):
        begin(tmp_path / "file" / "run")
