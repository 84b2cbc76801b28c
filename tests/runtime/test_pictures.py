from __future__ import annotations

from pathlib import Path

import pytest

from fmx_runtime.errors import PictureError
from fmx_runtime.pictures import SUFFIXES, expand


def test_a_file_is_itself(tmp_path: Path) -> None:
    """What is named is tried, whatever its name, and also where there is nothing."""
    path = tmp_path / "notes.txt"
    path.write_text("", "utf-8")
    assert list(expand(path)) == [path]
    assert list(expand(tmp_path / "gone")) == [tmp_path / "gone"]
    assert list(expand(Path("a" * 5000))) == [Path("a" * 5000)]


def test_a_folder_is_the_pictures_below_it(tmp_path: Path) -> None:
    """Pictures are found at any depth, by suffix in any case, sorted; other files are left out."""
    wanted = ["a.png", "b/c.JPG", "b/d/e.webp", "b/d/f.TIFF", "g.gif"]
    for name in [*wanted, "notes.txt", "b/model.tflite", "png", "b/.png.swp"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    assert [str(path.relative_to(tmp_path)) for path in expand(tmp_path)] == wanted


def test_a_folder_without_a_picture(tmp_path: Path) -> None:
    """An empty folder, and one with other files, are a PictureError that names them."""
    with pytest.raises(PictureError, match=f"folder '{tmp_path}' has no picture in it"):
        list(expand(tmp_path))
    (tmp_path / "notes.txt").write_text("", "utf-8")
    with pytest.raises(PictureError, match="no picture"):
        list(expand(tmp_path))


def test_links_in_a_circle(tmp_path: Path) -> None:
    """A folder that contains itself by a link ends."""
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert list(expand(tmp_path)) == [tmp_path / "a.png"]


def test_suffixes() -> None:
    """Suffixes are lower case with their dot, as they are compared."""
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in SUFFIXES)
