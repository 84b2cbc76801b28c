from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fmx_runtime.errors import DataError
from fmx_runtime.labeled_images.layout import find_layout, image_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def folders(root: Path, *paths: str) -> Path:
    """Make folders below ``root``, and return it."""
    for path in paths:
        (root / path).mkdir(parents=True, exist_ok=True)
    return root


@pytest.mark.parametrize(
    "names",
    [
        ("train", "validation", "test"),
        ("training", "val", "testing"),
        ("Train", "VALID", "Testing"),
    ],
)
def test_names_of_splits(names: tuple[str, str, str], tmp_path: Path) -> None:
    """The usual names of splits are understood in any case."""
    root = folders(tmp_path, *(f"{name}/{label}" for name in names for label in ("dog", "cat")))
    layout = find_layout(root)
    assert layout.splits == {
        "train": root / names[0],
        "validation": root / names[1],
        "test": root / names[2],
    }
    assert layout.class_names == ("cat", "dog")


def test_classes_without_splits(tmp_path: Path) -> None:
    """Without split folders, the folder itself has the classes, in the order of their names."""
    layout = find_layout(folders(tmp_path, "zebra", "Bag", "ankle boot"))
    assert layout.splits == {"all": tmp_path}
    assert layout.class_names == ("Bag", "ankle boot", "zebra")


def test_hidden_folders_are_ignored(tmp_path: Path) -> None:
    """Hidden folders are neither classes nor splits."""
    root = folders(tmp_path, ".git/train", ".ipynb_checkpoints", "cat", "dog")
    assert find_layout(root).class_names == ("cat", "dog")
    root = folders(tmp_path / "split", ".cache", "train/cat", "train/.cache", "train/dog")
    assert find_layout(root).class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (("train/cat", "dog"), r"both splits \('train'\) and other folders \('dog'\)"),
        (("train/cat", "test/cat", "holdout/cat"), r"both splits .* other folders \('holdout'\)"),
        (("cat", "dog", "train"), r"both splits .* without splits"),
        (("train/cat", "training/cat"), "are both train images; put them into one folder"),
        (("train/cat", "test"), "test' has no class folders; put the images of each class"),
        (("train/cat", "train/dog", "val/bird"), "the training images have no class 'bird'"),
        (("cat/train", "cat/test", "dog/train", "dog/test"), r"has splits \('test', 'train'\)"),
        (("data/train/cat", "data/val/cat"), r"data' has splits .* or give '.*data'"),
    ],
)
def test_ambiguous_layouts_are_refused(
    paths: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    """A layout that mixes splits and classes is an error of one line with the remedy."""
    with pytest.raises(DataError, match=message) as caught:
        find_layout(folders(tmp_path, *paths))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_class_may_be_called_like_a_split(tmp_path: Path) -> None:
    """Below a split, a class called 'train' is a class."""
    root = folders(tmp_path, "train/train", "train/car", "test/train", "test/car")
    assert find_layout(root).class_names == ("car", "train")


def test_splits_without_training_images(tmp_path: Path) -> None:
    """The classes are those of all splits."""
    root = folders(tmp_path, "test/cat", "val/cat", "val/dog")
    assert find_layout(root).class_names == ("cat", "dog")


def test_image_files(draw: Callable[..., None], tmp_path: Path) -> None:
    """Images below a folder come in the order of names, without hidden and other files."""
    draw(tmp_path / "b", 2)
    draw(tmp_path / "a" / "deeper", 1)
    draw(tmp_path / ".hidden", 1)
    (tmp_path / "a" / "._1.png").write_bytes(b"macOS")
    (tmp_path / "a" / "notes.txt").write_text("mine", "utf-8")
    (tmp_path / "c.PNG").write_bytes((tmp_path / "b/0.png").read_bytes())
    names = [str(path.relative_to(tmp_path)) for path in image_files(tmp_path)]
    assert names == ["a/deeper/0.png", "b/0.png", "b/1.png", "c.PNG"]


def test_folders_without_images_are_reported(tmp_path: Path) -> None:
    """An empty folder is reported, and so is one that cannot be read."""
    lines: list[str] = []
    assert image_files(folders(tmp_path, "empty") / "empty", lines.append) == []
    assert lines == [f"folder '{tmp_path}/empty' contains no images: give a folder that does"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may read every folder")
def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    """A folder without permission to read is an error that names it."""
    closed = folders(tmp_path, "closed") / "closed"
    closed.chmod(0)
    try:
        with pytest.raises(DataError, match="closed' cannot be read: Permission denied"):
            find_layout(closed)
    finally:
        closed.chmod(0o700)
