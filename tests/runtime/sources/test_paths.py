from __future__ import annotations

import contextlib
import os
import subprocess
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fmx_runtime.errors import ImageError
from fmx_runtime.sources.paths import IMAGE_SUFFIXES, count_images, expand_path, expand_pattern

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fmx_runtime.sources.paths import FoundImage


def make(folder: Path, *names: str) -> None:
    """Create empty files below a folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def paths(found: Iterable[FoundImage]) -> list[str]:
    """Return the paths of what was found, all of which must be images."""
    listed = list(found)
    assert [one.error for one in listed] == [None] * len(listed)
    return [one.path for one in listed]


def only_error(found: Iterable[FoundImage]) -> tuple[str, str]:
    """Return path and error of the only path that was found."""
    (one,) = found
    assert isinstance(one.error, ImageError)
    return one.path, str(one.error)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files(here: Path) -> None:
    """A file is yielded as it is given, whatever it is, even if it does not exist."""
    make(here, "notes.txt")
    for name in ("notes.txt", "./notes.txt", "gone", "a" * 5000, ""):
        assert paths(expand_path(name)) == [name]


def test_folders(here: Path) -> None:
    """Images are found at any depth, by suffix in any case, sorted; other files are left out."""
    wanted = ["a.png", "b/c.JPG", "b/d/e.webp", "b/d/f.TIFF", "g.gif"]
    make(here, *wanted, "notes.txt", "b/model.tflite", "png", ".png")
    (here / "folder.png").mkdir()
    assert paths(expand_path(".")) == wanted
    assert paths(expand_path(str(here))) == [f"{here}/{name}" for name in wanted]
    assert paths(expand_path("b/")) == ["b/c.JPG", "b/d/e.webp", "b/d/f.TIFF"]


def test_hidden_files_and_folders(here: Path) -> None:
    """Hidden files are skipped in a folder, and accepted if they are given."""
    make(here, "a.png", ".b.png", ".thumbnails/c.png", "d/.e/f.png")
    assert paths(expand_path(".")) == ["a.png"]
    assert paths(expand_path(".thumbnails")) == [".thumbnails/c.png"]
    assert paths(expand_path(".b.png")) == [".b.png"]


def test_folders_without_images(here: Path) -> None:
    """An empty folder, or one of other files, is an error that names it."""
    (here / "empty").mkdir()
    expected = ("empty", "folder 'empty' contains no images: give a folder that does")
    assert only_error(expand_path("empty")) == expected
    make(here, "empty/notes.txt", "empty/deep/.hidden.png")
    assert only_error(expand_path("empty")) == expected


def test_links(here: Path) -> None:
    """Links to files and folders are followed; circular and broken ones are skipped."""
    make(here, "shop/a.png", "other/b.png")
    (here / "shop" / "back").symlink_to(here)
    (here / "shop" / "more").symlink_to(here / "other")
    (here / "other" / "loop").symlink_to(here / "shop")
    (here / "shop" / "link.png").symlink_to(here / "other" / "b.png")
    (here / "shop" / "nowhere.png").symlink_to("gone")
    (here / "shop" / "self.png").symlink_to("self.png")
    found = paths(expand_path("shop"))
    assert found == ["shop/a.png", "shop/back/other/b.png", "shop/link.png", "shop/more/b.png"]


def test_pipes_and_devices_in_a_folder(here: Path) -> None:
    """Pipes and devices are skipped, whatever their names: opening one may take forever."""
    make(here, "a.png")
    os.mkfifo(here / "pipe.png")
    (here / "null.png").symlink_to(os.devnull)
    assert paths(expand_path(".")) == ["a.png"]
    assert paths(expand_pattern("*.png")) == ["a.png"]


def test_unreadable_folders(
    here: Path, unprivileged_user: contextlib.AbstractContextManager[None]
) -> None:
    """An unreadable folder is an error in its place, and the search goes on."""
    make(here, "a.png", "b/c.png", "d.png")
    here.chmod(0o755)
    (here / "b").chmod(0)
    with unprivileged_user:
        found = list(expand_path("."))
    (here / "b").chmod(0o755)
    assert [one.path for one in found] == ["a.png", "b", "d.png"]
    assert (
        str(found[1].error) == "folder 'b' cannot be read: Permission denied: check its permissions"
    )


def test_deeply_nested_folders(here: Path) -> None:
    """Folders may be nested deeper than Python's recursion limit."""
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
        assert paths(expand_path(".")) == ["d/" * depth + "a.png"]


def test_folders_are_searched_lazily(here: Path) -> None:
    """The first image comes before the other folders are searched, and little memory is used."""
    names = [f"{folder:03}/{image:03}.png" for folder in range(100) for image in range(100)]
    make(here, *names)
    tracemalloc.start()
    found = expand_path(".")
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
    assert paths(expand_pattern(pattern)) == expected
    absolute = f"{here}/{pattern}"
    assert paths(expand_pattern(absolute)) == [f"{here}/{path}" for path in expected]


def test_a_pattern_that_matches_nothing(here: Path) -> None:
    """It is an error that names the pattern."""
    make(here, "a.png")
    for pattern in ("*.jpg", "gone/*.png", "**/b.png", "a.png/*"):
        assert only_error(expand_pattern(pattern)) == (
            pattern,
            f"no file matches '{pattern}': check the pattern",
        )


def test_patterns_and_circular_links(here: Path) -> None:
    """``**`` ends at a folder that contains itself."""
    make(here, "shop/a.png")
    (here / "shop" / "loop").symlink_to(here)
    assert paths(expand_pattern("**/*.png")) == ["shop/a.png"]


def test_existing_paths_are_not_patterns(here: Path) -> None:
    """A path that exists is taken as it is, even if it looks like a pattern."""
    make(here, "[a].png", "a.png", "what?/b.png", "whats/c.png")
    assert paths(expand_pattern("[a].png")) == ["[a].png"]
    assert paths(expand_pattern("what?")) == ["what?/b.png"]
    assert paths(expand_pattern("what?/*")) == ["what?/b.png", "whats/c.png"]


def test_count(here: Path) -> None:
    """Images and errors are counted, as often as they are meant, unless that takes too long."""
    make(here, "a.png", "shop/b.png", "shop/c.png")
    assert count_images(["a.png", "shop", "*.png", "gone", "a.png"]) == 6
    assert count_images(["."], timeout_s=-1) is None


def test_suffixes() -> None:
    """Suffixes are lower case and begin with a dot."""
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in IMAGE_SUFFIXES)
