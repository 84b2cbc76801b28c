"""Read labeled images from an ``.npz`` file or a folder."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from fmx_runtime.errors import DataError
from fmx_runtime.labeled_images.arrays import read_arrays
from fmx_runtime.labeled_images.image_set import LabeledImages, UnlabeledImages
from fmx_runtime.labeled_images.layout import find_layout, image_files, loose_images

if TYPE_CHECKING:
    from collections.abc import Callable

    from fmx_runtime.labeled_images.layout import Layout, Split

__all__ = ["read", "read_splits"]

_warn = logging.getLogger(__name__).warning

_LAYOUT = "one folder for each class, or 'test' with one folder for each class"


def read(path: Path, *, report: Callable[[str], None] = _warn) -> LabeledImages:
    """Read the labeled images for a benchmark.

    Of a folder with splits these are the test images.

    Args:
        path: an ``.npz`` file or a folder, see `fmx_runtime.labeled_images`.
        report: called with one line about images that are skipped.

    Raises:
        DataError: there are no labeled images, or their layout is not understood.
    """
    splits = read_splits(path, report=report)
    images = splits.get("test", splits.get("all"))
    if images is None:
        others = " and ".join(splits)
        raise DataError(
            f"'{path}' has {others} images, but no test images; put some into "
            f"'{Path(path) / 'test'}', or give the folder of another split"
        )
    if isinstance(images, UnlabeledImages):
        wanted = f"images in folders: give {_LAYOUT}" if path.is_dir() else "array 'labels'"
        raise DataError(f"'{path}' has no {wanted}")
    return images


def read_splits(
    path: Path, *, report: Callable[[str], None] = _warn
) -> dict[Split | Literal["all"], LabeledImages | UnlabeledImages]:
    """Read all images of an ``.npz`` file or a folder.

    Image files are only opened when their pixels are needed.

    Args:
        path: an ``.npz`` file or a folder, see `fmx_runtime.labeled_images`.
        report: called with one line about images that are skipped.

    Returns:
        The images by split; by ``all`` where there are no splits.

    Raises:
        DataError: there are no images, or their layout is not understood.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"'{path}' does not exist; give a folder or an .npz file of images")
    if not path.is_dir():
        return {"all": read_arrays(path)}
    layout = find_layout(path)
    if "all" not in layout.splits:
        _report_loose(path, "split", report)
    return {split: _read_split(layout, split, report) for split in layout.splits}


def _read_split(
    layout: Layout, split: Split | Literal["all"], report: Callable[[str], None]
) -> LabeledImages | UnlabeledImages:
    folder = layout.splits[split]
    name = layout.folder.resolve().name
    if split != "all":
        name = f"{name} {split}"
    files: list[Path] = []
    labels: list[int] = []
    for number, class_name in enumerate(layout.class_names):
        found = image_files(folder / class_name, report) if (folder / class_name).is_dir() else []
        files += found
        labels += [number] * len(found)
    if files:
        _report_loose(folder, "class", report)
        return LabeledImages(name, files, np.array(labels, np.int64), layout.class_names)
    if split == "all" and (loose := loose_images(folder)):
        return UnlabeledImages(name, loose)
    raise DataError(f"'{folder}' has no images; give a folder of images, or {_LAYOUT}")


def _report_loose(folder: Path, kind: str, report: Callable[[str], None]) -> None:
    if loose := loose_images(folder):
        report(f"'{folder}': {len(loose):,} images are in no {kind} folder; skipped")
