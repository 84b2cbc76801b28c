"""``fmx data``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from fmx_training.data import fashion_mnist

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from fmx_training.data.fashion_mnist import Found

    Done = subprocess.CompletedProcess[str]

FILE = "t10k-labels-idx1-ubyte"


@pytest.fixture
def copied(found: Found, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one's own with the four real files."""
    return Path(shutil.copytree(found.folder, tmp_path_factory.mktemp("data") / "copied"))


def complains(done: Done, message: str) -> None:
    """The command failed with this one line and nothing else."""
    assert done.returncode == 1
    assert not done.stdout
    assert done.stderr.startswith("fmx: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_facts_and_contact_sheet(fmx: Callable[..., Done], found: Found, tmp_path: Path) -> None:
    """The real command prints place, files and counts on stdout, and draws the sheet."""
    done = fmx("data", "--contact-sheet", "made/sheet.png", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == "drew made/sheet.png\n"
    first, *lines = done.stdout.splitlines()
    assert first == f"Fashion-MNIST in {found.folder} (FMX_DATA_DIR)"
    for file in fashion_mnist._FILES:
        (row,) = (line for line in lines if line.split()[0].removesuffix(".gz") == file.name)
        assert file.sha256[:16] in row
    for name in fashion_mnist.CLASS_NAMES:
        assert any(line.split() == [*name.split(), "6,000", "1,000"] for line in lines)
    assert lines[-1].split() == ["all", "60,000", "10,000"]
    with Image.open(tmp_path / "made/sheet.png") as sheet:
        assert sheet.format == "PNG"
        assert min(sheet.size) > 500


def test_a_folder_with_a_long_name_in_brackets(here: Callable[..., Done], copied: Path) -> None:
    """A path is printed as it is: not broken at the width of a page, nor read as markup."""
    strange = copied.rename(copied.with_name("[bold]" + "long" * 30 + "[red]"))
    done = here("data", "--data-dir", strange)
    assert done.returncode == 0
    assert done.stdout.startswith(f"Fashion-MNIST in {strange} (--data-dir)\n")


def test_an_empty_folder(here: Callable[..., Done], tmp_path: Path) -> None:
    """A folder without the files is said with the files' names."""
    (tmp_path / "empty").mkdir()
    complains(here("data", "--data-dir", "empty"), "'empty' (--data-dir) has no train-images")


def test_a_file_instead_of_a_folder(here: Callable[..., Done], tmp_path: Path) -> None:
    """--data-dir takes the folder, not one of its files."""
    (tmp_path / "file").write_bytes(b"")
    complains(here("data", "--data-dir", "file"), "'file' (--data-dir) is a file, not a folder")


def test_the_environment_variable_points_nowhere(
    here: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong FMX_DATA_DIR is named as such."""
    monkeypatch.setenv("FMX_DATA_DIR", "/nowhere")
    complains(here("data"), "'/nowhere' (FMX_DATA_DIR) does not exist")


def test_a_missing_file(here: Callable[..., Done], copied: Path) -> None:
    """One file of four that is missing is named."""
    next(copied.glob(f"{FILE}*")).unlink()
    complains(here("data", "--data-dir", copied), f"has no {FILE}, neither with .gz")


def test_a_damaged_file(here: Callable[..., Done], copied: Path) -> None:
    """A file of zeros is named, with what to do about it."""
    path = next(copied.glob(f"{FILE}*"))
    path.write_bytes(bytes(path.stat().st_size))
    complains(here("data", "--data-dir", copied), f"'{path}' is altered: ")


@pytest.mark.parametrize("name", ["sheet.jpg", "sheet", "", ".", "/"])
def test_a_sheet_is_a_png_file(name: str, here: Callable[..., Done], tmp_path: Path) -> None:
    """Another suffix, or a folder, is refused before the data are read."""
    done = here("data", "--contact-sheet", name)
    complains(done, f"PNG file: '{Path(name)}' does not end in .png")
    assert not list(tmp_path.iterdir())


def test_a_sheet_that_cannot_be_written(here: Callable[..., Done], tmp_path: Path) -> None:
    """Below a regular file, or where a folder has the name, the reason is given."""
    (tmp_path / "file").write_text("mine", "utf-8")
    (tmp_path / "folder.png").mkdir()
    for name in ("file/sheet.png", "folder.png"):
        done = here("data", "--contact-sheet", name)
        assert done.returncode == 1
        assert done.stderr.startswith("fmx: cannot write to ")
        assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]
