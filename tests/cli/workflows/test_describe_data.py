"""The contact sheet and the folder in ``fmx data``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from fmx_training.data.fashion_mnist import Found

    Completed = subprocess.CompletedProcess[str]


def test_unusual_folder_name(
    fmx_in_process: Callable[..., Completed], found: Found, tmp_path: Path
) -> None:
    """A path is printed unchanged: neither wrapped nor interpreted as markup."""
    strange = shutil.copytree(found.folder, tmp_path / ("[bold]" + "long" * 30 + "[red]"))
    done = fmx_in_process("data", "--data-dir", strange)
    assert done.returncode == 0
    assert done.stdout.startswith(f"Fashion-MNIST in {strange} (--data-dir)\n")


@pytest.mark.parametrize("name", ["sheet.jpg", "sheet", "", ".", "/"])
def test_contact_sheet_must_be_png(
    name: str, fmx_in_process: Callable[..., Completed], tmp_path: Path
) -> None:
    """Another suffix, or a folder, is refused before the data set is read."""
    done = fmx_in_process("data", "--contact-sheet", name)
    assert done.returncode == 1
    assert not done.stdout
    assert done.stderr.startswith(f"fmx: --contact-sheet '{Path(name)}' does not end in .png")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_contact_sheet_cannot_be_written(
    fmx_in_process: Callable[..., Completed], tmp_path: Path
) -> None:
    """A sheet inside a regular file, or with the name of a folder, gives the reason."""
    (tmp_path / "file").write_text("mine", "utf-8")
    (tmp_path / "folder.png").mkdir()
    for name in ("file/sheet.png", "folder.png"):
        done = fmx_in_process("data", "--contact-sheet", name)
        assert done.returncode == 1
        assert done.stderr.startswith("fmx: cannot write to ")
        assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]
