"""Run folders are created, opened and found, and never overwritten."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fmx_runtime.errors import DataError, OutputError
from fmx_training import run_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fmx_training.run_folder import Run


def test_opening_returns_what_was_created(create_run: Callable[..., Run], tmp_path: Path) -> None:
    """An opened run has the settings that it was created with."""
    run = create_run(tmp_path / "run", epochs=7, seed=3)
    assert run_folder.open_run(run.folder) == run


def test_unfinished_run_is_not_overwritten(create_run: Callable[..., Run], tmp_path: Path) -> None:
    """A second run in the same folder is refused, and the first stays as it is."""
    run = create_run(tmp_path / "run")
    before = (run.folder / "run.json").read_bytes()
    with pytest.raises(DataError, match=r"holds an unfinished run.*--resume"):
        create_run(run.folder, seed=1)
    assert (run.folder / "run.json").read_bytes() == before


def test_finished_run_is_not_overwritten(create_run: Callable[..., Run], tmp_path: Path) -> None:
    """For a finished run the message suggests another folder, not --resume."""
    run = create_run(tmp_path / "run")
    run.metrics_path.write_text("{}", "utf-8")
    with pytest.raises(DataError, match=r"holds a finished run; choose another folder with -o"):
        create_run(run.folder, seed=1)


def test_newest_run(create_run: Callable[..., Run], tmp_path: Path) -> None:
    """The newest finished run and the newest unfinished run are distinguished."""
    first, second, third = (create_run(tmp_path / name) for name in "abc")
    for age, run in enumerate((third, second, first)):
        os.utime(run.folder / "run.json", (1e9 - age, 1e9 - age))
    for run in (first, second):
        run.metrics_path.write_text("{}", "utf-8")
    assert run_folder.newest_run(tmp_path, finished=True) == second
    assert run_folder.newest_run(tmp_path, finished=False) == third


def test_missing_run(tmp_path: Path) -> None:
    """A folder without runs, and a folder that is no run, are DataErrors."""
    with pytest.raises(DataError, match="no finished training run"):
        run_folder.newest_run(tmp_path, finished=True)
    with pytest.raises(DataError, match=r"no run\.json"):
        run_folder.open_run(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"recipe": 3}', "\x00"])
def test_damaged_run_file(text: str, tmp_path: Path) -> None:
    """The error about an invalid run.json names the file."""
    (tmp_path / "run.json").write_text(text, "utf-8")
    with pytest.raises(DataError, match=r"run\.json"):
        run_folder.open_run(tmp_path)


def test_folder_that_cannot_be_created(create_run: Callable[..., Run], tmp_path: Path) -> None:
    """A path below a regular file is an OutputError."""
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(OutputError, match="cannot write to"):
        create_run(tmp_path / "file" / "run")
