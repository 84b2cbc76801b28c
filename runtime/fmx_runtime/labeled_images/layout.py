"""How the images in a folder are laid out: in splits and classes, in classes, or flat."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fmx_runtime.errors import DataError
from fmx_runtime.sources.paths import IMAGE_SUFFIXES, expand_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["SPLITS", "Layout", "Split", "find_layout", "image_files", "loose_images"]

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

_SPLIT_OF_NAME: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
_warn = logging.getLogger(__name__).warning

_NAMES = "'train', 'validation' and 'test'"


@dataclass(frozen=True)
class Layout:
    """A folder with images.

    Attributes:
        folder: the folder.
        splits: the folders of its splits; ``all`` is ``folder`` itself, where there are no splits.
        class_names: names of the class folders, sorted. Those of the training split, if there is
            one, or else of all splits. Empty if the images lie directly in the folder.
    """

    folder: Path
    splits: dict[Split | Literal["all"], Path]
    class_names: tuple[str, ...]


def find_layout(folder: Path) -> Layout:
    """Find out how the images in a folder are laid out.

    Raises:
        DataError: the layout mixes splits and classes, has a split twice, or a split has no class
            folders or classes that the training split has not.
    """
    inside = visible_folders(folder)
    split_folders = [path for path in inside if _split_of(path)]
    if not split_folders:
        _refuse_splits_in_classes(inside)
        return Layout(folder, {"all": folder}, tuple(path.name for path in inside))
    if len(split_folders) < len(inside):
        other = next(path for path in inside if path not in split_folders)
        raise DataError(
            f"'{folder}' has both splits ('{split_folders[0].name}') and other folders "
            f"('{other.name}'); put all class folders into splits called {_NAMES}, "
            "or all directly into it without splits"
        )
    splits: dict[Split | Literal["all"], Path] = {}
    for split in SPLITS:
        found = [path for path in inside if _split_of(path) == split]
        if len(found) > 1:
            raise DataError(
                f"'{found[0]}' and '{found[1]}' are both {split} images; put them into one folder"
            )
        if found:
            splits[split] = found[0]
    return Layout(folder, splits, _shared_class_names(splits))


def visible_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted by name, without hidden ones.

    Raises:
        DataError: the folder cannot be read.
    """
    try:
        return sorted(
            entry for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."
        )
    except OSError as error:
        raise DataError(f"'{folder}' cannot be read: {error.strerror}") from error


def image_files(folder: Path, report: Callable[[str], None] = _warn) -> list[Path]:
    """Return the image files in a folder and all folders below it, in the order of their names.

    Hidden files and folders are left out. Links to folders are followed.

    Args:
        folder: the folder.
        report: called with one line about each folder that cannot be read, and if there is no
            image at all.
    """
    files = []
    for path, error in expand_path(str(folder)):
        if error:
            report(str(error))
        else:
            files.append(Path(path))
    return files


def loose_images(folder: Path) -> list[Path]:
    """Return the image files that lie directly in a folder, sorted by name, without hidden ones."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.name[0] != "." and path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
    )


def _split_of(folder: Path) -> Split | None:
    return _SPLIT_OF_NAME.get(folder.name.casefold())


def _refuse_splits_in_classes(classes: Sequence[Path]) -> None:
    """Refuse ``DIR/CLASS/train/…``, where the splits would be mixed silently."""
    for path in classes:
        splits = [below for below in visible_folders(path) if _split_of(below)]
        if len(splits) > 1:
            raise DataError(
                f"'{path}' has splits ('{splits[0].name}', '{splits[1].name}') inside a class or "
                f"another folder; put the splits above the classes: "
                f"'{path.parent.name}/{splits[0].name}/{path.name}', or give '{path}'"
            )


def _shared_class_names(splits: dict[Split | Literal["all"], Path]) -> tuple[str, ...]:
    """Return the class names of all splits.

    Raises:
        DataError: a split has no class folders, or one that the training split has not.
    """
    by_split = {
        split: [path.name for path in visible_folders(folder)] for split, folder in splits.items()
    }
    for split, names in by_split.items():
        if not names:
            raise DataError(
                f"'{splits[split]}' has no class folders; put the images of each class into a "
                "folder with the name of the class"
            )
    train = by_split.get("train")
    for split, names in by_split.items():
        unknown = sorted(set(names) - set(train or names))
        if unknown:
            raise DataError(
                f"'{splits[split] / unknown[0]}': the training images have no class "
                f"'{unknown[0]}'; rename or remove the folder"
            )
    return tuple(train or sorted({name for names in by_split.values() for name in names}))
