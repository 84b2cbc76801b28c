"""``fmx data``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from fmx_training.data import fashion_mnist
from fmx_training.data.fashion_mnist.published_files import FILES

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from fmx_training.data.fashion_mnist import Found

    Completed = subprocess.CompletedProcess[str]

FILE = "t10k-labels-idx1-ubyte"


@pytest.fixture
def copied(found: Found, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the folder with the four real files."""
    return Path(shutil.copytree(found.folder, tmp_path_factory.mktemp("data") / "copied"))


def assert_error(done: Completed, message: str) -> None:
    """Check that the command failed with this one line on stderr and printed nothing else."""
    assert done.returncode == 1
    assert not done.stdout
    assert done.stderr.startswith("fmx: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_facts_and_contact_sheet(
    fmx: Callable[..., Completed], found: Found, tmp_path: Path
) -> None:
    """The installed command prints folder, files and counts, and writes the contact sheet."""
    done = fmx("data", "--contact-sheet", "made/sheet.png", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == "wrote made/sheet.png\n"
    first, *lines = done.stdout.splitlines()
    assert first == f"Fashion-MNIST in {found.folder} (FMX_DATA_DIR)"
    for file in FILES:
        (row,) = (line for line in lines if line.split()[0].removesuffix(".gz") == file.name)
        assert file.sha256[:16] in row
    for name in fashion_mnist.CLASS_NAMES:
        assert any(line.split() == [*name.split(), "6,000", "1,000"] for line in lines)
    assert lines[-1].split() == ["all", "60,000", "10,000"]
    with Image.open(tmp_path / "made/sheet.png") as sheet:
        assert sheet.format == "PNG"
        assert min(sheet.size) > 500


def test_empty_folder(fmx_in_process: Callable[..., Completed], tmp_path: Path) -> None:
    """For a folder without the files the error names the files."""
    (tmp_path / "empty").mkdir()
    assert_error(
        fmx_in_process("data", "--data-dir", "empty"), "'empty' (--data-dir) has no train-images"
    )


def test_file_instead_of_folder(fmx_in_process: Callable[..., Completed], tmp_path: Path) -> None:
    """--data-dir takes a folder, not one of its files."""
    (tmp_path / "file").write_bytes(b"")
    assert_error(
        fmx_in_process("data", "--data-dir", "file"), "'file' (--data-dir) is a file, not a folder"
    )


def test_wrong_environment_variable(
    fmx_in_process: Callable[..., Completed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names FMX_DATA_DIR if that is wrong."""
    monkeypatch.setenv("FMX_DATA_DIR", "/nowhere")
    assert_error(fmx_in_process("data"), "'/nowhere' (FMX_DATA_DIR) does not exist")


def test_missing_file(fmx_in_process: Callable[..., Completed], copied: Path) -> None:
    """The error names the one file of four that is missing."""
    next(copied.glob(f"{FILE}*")).unlink()
    assert_error(fmx_in_process("data", "--data-dir", copied), f"has no {FILE}, neither with .gz")


def test_damaged_file(fmx_in_process: Callable[..., Completed], copied: Path) -> None:
    """The error names a file whose content is wrong."""
    path = next(copied.glob(f"{FILE}*"))
    path.write_bytes(bytes(path.stat().st_size))
    assert_error(fmx_in_process("data", "--data-dir", copied), f"'{path}' is altered: ")
