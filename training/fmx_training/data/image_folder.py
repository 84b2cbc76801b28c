"""Read a user's labeled images for training.

The images lie in one of the layouts of `fmx_runtime.labeled_images`. Splits that are missing are
split off the training images, see `fmx_training.data.splits`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from fmx_runtime.errors import DataError
from fmx_runtime.labeled_images import LabeledImages, read_splits
from fmx_runtime.model_file.labels import numbered_labels
from fmx_training.data.dataset import Dataset, Splits
from fmx_training.data.splits import SPLITS, split_by_content

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from fmx_runtime.labeled_images import Split, Watch
    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["read"]

_MIN_SIDE = 8
"""Pixels; smaller images show nothing that can be learned."""

_MIN_IMAGES = 3
"""Images that each class needs: one for each split, if chance distributes them well."""

_UNBALANCED = 2
"""Ratio of the largest class to the smallest that is reported."""


def read(
    path: Path,
    spec: InputSpec,
    seed: int,
    *,
    gray: bool = True,
    watch: Watch,
    report: Callable[[str], None],
) -> tuple[Splits, InputSpec]:
    """Read labeled images in the network's size, in three splits.

    Args:
        path: a folder or an ``.npz`` file, see `fmx_runtime.labeled_images`.
        spec: the network's input, with three channels.
        seed: of the split, 0 or more.
        gray: whether the input gets one channel if all images are gray.
        watch: wraps an iterable, given its length and a description, to show progress.
        report: called with one line about each image that is skipped, and about classes that have
            few images.

    Returns:
        The splits, and the input specification that the images were prepared for.

    Raises:
        DataError: there are fewer than two classes, a class has too few images, a split has no
            images, or too many images cannot be read.
    """
    given = _read_labeled(path, report)
    names = given["train"].class_names
    if len(names) == 1:
        raise DataError(
            f"'{path}' has one class only, '{names[0]}'; a classifier needs two or more"
        )
    readable = {
        split: images.readable(spec, report=report, watch=watch, min_side=_MIN_SIDE)
        for split, images in given.items()
    }
    splits = split_by_content(readable, seed, report)
    _check_counts(path, splits, names, report)
    pixels = {split: images.pixels(spec) for split, images in splits.items()}
    if gray and all(_is_gray(images) for images in pixels.values()):
        spec = replace(spec, channels=1)
        pixels = {split: images[..., :1] for split, images in pixels.items()}
    name = path.resolve().name
    datasets = {
        split: Dataset(f"{name} {split}", pixels[split], images.labels, names)
        for split, images in splits.items()
    }
    return Splits(**datasets), spec


def _read_labeled(path: Path, report: Callable[[str], None]) -> dict[Split, LabeledImages]:
    """Return the user's splits. The training split is one of them, and the classes are named.

    Raises:
        DataError: there are no training images, or they have no labels.
    """
    found = read_splits(path, report=report)
    given: dict[Split, LabeledImages] = {}
    for split, images in found.items():
        if not isinstance(images, LabeledImages):
            raise DataError(
                f"'{path}' has images without labels; put the images of each class into a folder "
                "with the name of the class"
            )
        given["train" if split == "all" else split] = _with_class_names(images)
    if "train" not in given:
        others = " and ".join(given)
        raise DataError(
            f"'{path}' has {others} images, but no training images; put some into "
            f"'{path / 'train'}'"
        )
    return given


def _with_class_names(images: LabeledImages) -> LabeledImages:
    """Return the images with numbered class names if they have none; arrays may have none."""
    if images.class_names:
        return images
    return images.with_class_names(numbered_labels(int(images.labels.max()) + 1))


def _is_gray(pixels: NDArray[np.uint8]) -> bool:
    return bool((pixels == pixels[..., :1]).all())


def _check_counts(
    path: Path,
    splits: Mapping[Split, LabeledImages],
    names: tuple[str, ...],
    report: Callable[[str], None],
) -> None:
    """Check that all splits and all classes have images, and report classes that have few.

    Raises:
        DataError: a split has no images; or a class has too few, or none to train on.
    """
    counts = {
        split: Counter(images.labels.tolist() if (images := splits.get(split)) else ())
        for split in SPLITS
    }
    for label, name in enumerate(names):
        total = sum(count[label] for count in counts.values())
        if total < _MIN_IMAGES:
            raise DataError(
                f"'{path}': class '{name}' has {total} usable images; at least {_MIN_IMAGES} are "
                "needed, and many more to learn anything"
            )
        if not counts["train"][label]:
            raise DataError(
                f"'{path}': by chance, none of the {total} images of class '{name}' is a training "
                f"image; {_remedy(path)}"
            )
    for split in SPLITS:
        if not counts[split]:
            raise DataError(
                f"'{path}': by chance, none of the {len(splits['train']):,} images is a {split} "
                f"image; {_remedy(path)}"
            )
        without = [name for label, name in enumerate(names) if not counts[split][label]]
        if without:
            report(
                f"no {split} images of {', '.join(without)}: the accuracy on the {split} images "
                f"says nothing about them; {_remedy(path)}"
            )
    _report_imbalance(counts["train"], names, report)


def _remedy(path: Path) -> str:
    return (
        f"add images, set some of each class apart in '{path / 'validation'}' and "
        f"'{path / 'test'}', or choose another seed"
    )


def _report_imbalance(
    counts: Counter[int], names: tuple[str, ...], report: Callable[[str], None]
) -> None:
    labels = range(len(names))
    most, fewest = max(labels, key=counts.__getitem__), min(labels, key=counts.__getitem__)
    if counts[most] >= _UNBALANCED * counts[fewest]:
        report(
            f"classes are unbalanced: '{names[most]}' has {counts[most]:,} training images, "
            f"'{names[fewest]}' {counts[fewest]:,}; images of rarer classes get more weight"
        )
