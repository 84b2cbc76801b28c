"""``fmx demo``: its options and the order of its steps, up to the first step that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fmx_cli.workflows.demo import _SHORT_EPOCHS
from fmx_training import recipes

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Completed = subprocess.CompletedProcess[str]


def test_data_dir_is_passed_on(fmx_in_process: Callable[..., Completed], tmp_path: Path) -> None:
    """The first step describes the data in --data-dir; if that fails, no other step follows."""
    done = fmx_in_process("demo", "--data-dir", "gone")
    assert done.returncode == 1
    assert done.stdout.split() == ["$", "fmx", "data"]
    assert done.stderr.startswith("fmx: 'gone' (--data-dir) does not exist")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("full", [False, True])
def test_full_is_passed_on(
    full: bool, fmx_in_process: Callable[..., Completed], tmp_path: Path
) -> None:
    """With --full the training has all epochs of the recipe, and otherwise a few."""
    (tmp_path / "runs").write_text("no folder", "utf-8")  # so that the training cannot start
    done = fmx_in_process("demo", *(["--full"] if full else []))
    assert done.returncode == 1
    commands = [line for line in done.stdout.splitlines() if line.startswith("$")]
    epochs = recipes.get("baseline").epochs if full else _SHORT_EPOCHS
    assert commands == ["$ fmx data", f"$ fmx train --recipe baseline --epochs {epochs}"]
    assert done.stderr.splitlines()[-1].startswith("fmx: cannot write to 'runs")
    short = f"a short training on all images: {_SHORT_EPOCHS} of" in done.stderr
    assert short == (not full)
