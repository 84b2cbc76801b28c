"""The command as users run it: as a process of its own, and, where only words matter, in ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fmx_cli import app

if TYPE_CHECKING:
    from collections.abc import Callable

    from fmx_training.data.fashion_mnist import Found

    Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def fmx_path() -> Path:
    """The installed command."""
    return Path(sys.executable).with_name("fmx")


@pytest.fixture(scope="session")
def environment(found: Found) -> dict[str, str]:
    """Ours, and where the data are; widths as in a pipe."""
    unset = {"COLUMNS", "FORCE_COLOR", "NO_COLOR", "TF_CPP_MIN_LOG_LEVEL"}
    ours = {name: value for name, value in os.environ.items() if name not in unset}
    return {**ours, "FMX_DATA_DIR": str(found.folder)}


@pytest.fixture(scope="session")
def fmx(fmx_path: Path, environment: dict[str, str]) -> Callable[..., Done]:
    """Runs the installed command: ``fmx("data", cwd=folder)``."""

    def fmx(*words: object, cwd: Path, **changes: str) -> Done:
        return subprocess.run(
            [fmx_path, *map(str, words)],
            cwd=cwd,
            env={**environment, **changes},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return fmx


@pytest.fixture
def here(
    tmp_path: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Done]:
    """Runs the command in this process, in an empty working folder: ``here("data")``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FMX_DATA_DIR", environment["FMX_DATA_DIR"])

    def here(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["fmx", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            app.main()
        code = caught.value.code
        said = capsys.readouterr()
        return subprocess.CompletedProcess(
            words, code if isinstance(code, int) else 0, said.out, said.err
        )

    return here


@pytest.fixture(scope="session")
def trained(
    fmx: Callable[..., Done], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Done]:
    """A working folder in which ``baseline`` was trained for one epoch, and its words."""
    folder = tmp_path_factory.mktemp("working")
    return folder, fmx("train", "--recipe", "baseline", "--epochs", 1, cwd=folder)


@pytest.fixture(scope="session")
def run_folder(trained: tuple[Path, Done]) -> Path:
    """The run folder of that training."""
    (only,) = (trained[0] / "runs").iterdir()
    return only
