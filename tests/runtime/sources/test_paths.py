from __future__ import annotations

import contextlib
import os
import subprocess
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fmx_runtime.errors import ImageError
from fmx_runtime.sources.paths import SUFFIXES, count, expand, matching

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fmx_runtime.sources.paths import Found


def make(folder: Path, *names: str) -> None:
    """Empty files of those names below a folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def paths(found: Iterable[Found]) -> list[str]:
    """Of what was found, all of which has to be images."""
    listed = list(found)
    assert [one.error for one in listed] == [None] * len(listed)
    return [one.path for one in listed]


def complaint(found: Iterable[Found]) -> tuple[str, str]:
    """Path and error of the only thing that was found."""
    (one,) = found
    assert isinstance(one.error, ImageError)
    return one.path, str(one.error)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_is_itself(here: Path) -> None:
    """What is named is tried under the very name, whatever it is, and also where there is none."""
    make(here, "notes.txt")
    for name in ("notes.txt", "./notes.txt", "gone", "a" * 5000, ""):
        assert paths(expand(name)) == [name]


def test_a_folder_is_the_images_below_it(here: Path) -> None:
    """Images are found at any depth, by suffix in any case, sorted; other files are left out."""
    wanted = ["a.png", "b/c.JPG", "b/d/e.webp", "b/d/f.TIFF", "g.gif"]
    make(here, *wanted, "notes.txt", "b/model.tflite", "png", ".png")
    (here / "folder.png").mkdir()
    assert paths(expand(".")) == wanted
    assert paths(expand(str(here))) == [f"{here}/{name}" for name in wanted]
    assert paths(expand("b/")) == ["b/c.JPG", "b/d/e.webp", "b/d/f.TIFF"]


def test_hidden_files_and_folders(here: Path) -> None:
    """They are left out where a folder is searched, and taken where they are named."""
    make(here, "a.png", ".b.png", ".thumbnails/c.png", "d/.e/f.png")
    assert paths(expand(".")) == ["a.png"]
    assert paths(expand(".thumbnails")) == [".thumbnails/c.png"]
    assert paths(expand(".b.png")) == [".b.png"]


def test_a_folder_without_a_image(here: Path) -> None:
    """An empty folder, and one with other files, are an error that names them."""
    (here / "empty").mkdir()
    expected = ("empty", "folder 'empty' has no image in it")
    assert complaint(expand("empty")) == expected
    make(here, "empty/notes.txt", "empty/deep/.hidden.png")
    assert complaint(expand("empty")) == expected


def test_links(here: Path) -> None:
    """Links to files and folders are followed; those in a circle or to nowhere end."""
    make(here, "shop/a.png", "other/b.png")
    (here / "shop" / "back").symlink_to(here)
    (here / "shop" / "more").symlink_to(here / "other")
    (here / "other" / "loop").symlink_to(here / "shop")
    (here / "shop" / "link.png").symlink_to(here / "other" / "b.png")
    (here / "shop" / "nowhere.png").symlink_to("gone")
    (here / "shop" / "self.png").symlink_to("self.png")
    found = paths(expand("shop"))
    assert found == ["shop/a.png", "shop/back/other/b.png", "shop/link.png", "shop/more/b.png"]


def test_pipes_and_devices_in_a_folder(here: Path) -> None:
    """They are no images, whatever their names, since to open them may take for ever."""
    make(here, "a.png")
    os.mkfifo(here / "pipe.png")
    (here / "null.png").symlink_to(os.devnull)
    assert paths(expand(".")) == ["a.png"]
    assert paths(matching("*.png")) == ["a.png"]


def test_a_folder_that_may_not_be_read(
    here: Path, nobody: contextlib.AbstractContextManager[None]
) -> None:
    """It is an error in its place, and what comes behind it is found."""
    make(here, "a.png", "b/c.png", "d.png")
    here.chmod(0o755)
    (here / "b").chmod(0)
    with nobody:
        found = list(expand("."))
    (here / "b").chmod(0o755)
    assert [one.path for one in found] == ["a.png", "b", "d.png"]
    assert str(found[1].error) == "folder 'b' may not be read: Permission denied"


def test_a_folder_deeper_than_calls_can_be(here: Path) -> None:
    """A folder may be nested deeper than Python's recursion goes."""
    depth = 1100
    with contextlib.ExitStack() as stack:
        # pytest's own removal of old folders is recursive
        stack.callback(subprocess.run, ["rm", "-r", here / "d"], check=True)
        stack.callback(os.chdir, here)
        for _ in range(depth):
            Path("d").mkdir()
            os.chdir("d")
        Path("a.png").touch()
        os.chdir(here)
        assert paths(expand(".")) == ["d/" * depth + "a.png"]


def test_many_images_come_at_once(here: Path) -> None:
    """Of a hundred folders no more is looked at, and kept, than the first image takes."""
    names = [f"{folder:03}/{image:03}.png" for folder in range(100) for image in range(100)]
    make(here, *names)
    tracemalloc.start()
    found = expand(".")
    assert next(found).path == "000/000.png"
    (here / "050" / "late.png").write_bytes(b"")
    rest = sum(1 for _ in found)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rest == len(names)
    assert peak < 150_000


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["a.png", "b.png"]),
        ("?.png", ["a.png", "b.png"]),
        ("[b-z].*", ["b.png"]),
        ("shop/*.jpg", ["shop/c.jpg"]),
        ("./sh*/c.jpg", ["./shop/c.jpg"]),
        ("*/*.jpg", ["shop/c.jpg"]),
        # a folder that matches is searched, as if the shell had put its name there
        ("sh*", ["shop/c.jpg", "shop/deep/d.png"]),
        ("*/deep", ["shop/deep/d.png"]),
        ("**/*.png", ["a.png", "b.png", "shop/deep/d.png"]),
        ("**/deep/*", ["shop/deep/d.png", "shop/deep/notes.txt"]),
        ("shop/**", ["shop/c.jpg", "shop/deep/d.png"]),
        ("**", ["a.png", "b.png", "shop/c.jpg", "shop/deep/d.png"]),
        (".h*", [".hidden.png"]),
    ],
)
def test_patterns(pattern: str, expected: list[str], here: Path) -> None:
    """A pattern that no shell has expanded means what a shell would make of it, sorted."""
    make(here, "a.png", "b.png", "shop/c.jpg", "shop/deep/d.png", "shop/deep/notes.txt")
    make(here, "shop/deep/.e.png", ".secret/f.png", ".hidden.png")
    assert paths(matching(pattern)) == expected
    absolute = f"{here}/{pattern}"
    assert paths(matching(absolute)) == [f"{here}/{path}" for path in expected]


def test_a_pattern_that_matches_nothing(here: Path) -> None:
    """It is an error that names the pattern."""
    make(here, "a.png")
    for pattern in ("*.jpg", "gone/*.png", "**/b.png", "a.png/*"):
        assert complaint(matching(pattern)) == (pattern, f"no file matches '{pattern}'")


def test_a_pattern_and_links_in_a_circle(here: Path) -> None:
    """``**`` ends where a folder contains itself."""
    make(here, "shop/a.png")
    (here / "shop" / "loop").symlink_to(here)
    assert paths(matching("**/*.png")) == ["shop/a.png"]


def test_a_name_that_looks_like_a_pattern(here: Path) -> None:
    """What really has the name is meant, not what would match it."""
    make(here, "[a].png", "a.png", "what?/b.png", "whats/c.png")
    assert paths(matching("[a].png")) == ["[a].png"]
    assert paths(matching("what?")) == ["what?/b.png"]
    assert paths(matching("what?/*")) == ["what?/b.png", "whats/c.png"]


def test_count(here: Path) -> None:
    """All that names mean is counted, as often as it is meant, unless that takes long."""
    make(here, "a.png", "shop/b.png", "shop/c.png")
    assert count(["a.png", "shop", "*.png", "gone", "a.png"]) == 6
    assert count(["."], patience=-1) is None


def test_suffixes() -> None:
    """Suffixes are lower case with their dot, as they are compared."""
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in SUFFIXES)
