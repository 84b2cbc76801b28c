"""Virtual environments are made also where Python is split into packages."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # makes environments

SCRIPT = Path(__file__).parents[2] / "tools" / "make-venv.sh"


def _made(python: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(SCRIPT), str(python), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)


def _works(folder: Path) -> bool:
    pip = [folder / "bin" / "pip", "--version"]
    return str(folder) in subprocess.run(pip, capture_output=True, text=True, check=True).stdout


def test_with_a_complete_python(tmp_path: Path) -> None:
    """A Python with ensurepip makes an environment with pip, and replaces an earlier one."""
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "left-over").write_text("half an environment", "utf-8")
    assert _made(Path(sys.executable), tmp_path / "venv").returncode == 0
    assert _works(tmp_path / "venv")
    assert not (tmp_path / "venv" / "left-over").exists()


def test_without_ensurepip(tmp_path: Path) -> None:
    """Where Debian left ensurepip out, pip is taken from a Debian package, without root."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        pytest.skip("no Debian-family machine: apt-get or dpkg-deb is not on PATH")
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\n[ "$2" = "import ensurepip" ] && exit 1\nexec {sys.executable} "$@"\n', "utf-8"
    )
    python.chmod(0o755)
    done = _made(python, tmp_path / "venv")
    if "no pip for" in done.stderr:
        pytest.skip(f"the package archive is out of reach: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr
    assert _works(tmp_path / "venv")
