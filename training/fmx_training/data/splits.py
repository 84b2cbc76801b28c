"""Split images by a hash of their content.

An image's split depends on its content and the seed only. So no image moves to another split when
images are added, renamed or removed, and equal images are always in the same split. The
disadvantage is that the sizes vary by chance: of classes with ten images, one in three has none in
the validation split.

Only the user's own choice overrides the hash: an image that is set apart in a folder ``validation``
or ``test`` stays there, and an equal one among the training images is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fmx_runtime.labeled_images import LabeledImages, Split

__all__ = ["SPLITS", "split_by_content", "split_of"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")

_SHARE = 0.1
"""Of all images, for validation and for test each."""


def split_of(content_hash: bytes) -> Split:
    """Return the split of an image.

    Args:
        content_hash: hash of the seed and the image's content, of at least 8 bytes.
    """
    place = int.from_bytes(content_hash[:8], "big") / 2**64  # 0 to 1
    if place < _SHARE:
        return "validation"
    return "test" if place < 2 * _SHARE else "train"


def split_by_content(
    given: Mapping[Split, LabeledImages], seed: int, report: Callable[[str], None]
) -> dict[Split, LabeledImages]:
    """Split off the training images what is missing, and leave out duplicates.

    Args:
        given: the training images, and what is set apart for validation and test.
        seed: 0 or more; another seed splits the images in another way.
        report: called with one line about each image that is left out.

    Returns:
        All splits that have an image. Images keep their order.

    Raises:
        DataError: an image is in two classes.
    """
    salt = seed.to_bytes(8, "big")
    hashes = {split: images.content_hashes(salt) for split, images in given.items()}
    used = {
        split: _without_duplicates(images, hashes[split], report) for split, images in given.items()
    }
    _drop_set_apart(given, hashes, used, report)
    missing = set(SPLITS) - set(given)
    chosen: dict[Split, list[int]] = {split: list(used.get(split, ())) for split in SPLITS}
    for split in missing:
        chosen[split] = [
            index for index in used["train"] if split_of(hashes["train"][index]) == split
        ]
    moved = {index for split in missing for index in chosen[split]}
    chosen["train"] = [index for index in used["train"] if index not in moved]
    return {
        split: given.get(split, given["train"]).take(np.array(indices, np.int64))
        for split, indices in chosen.items()
        if indices
    }


def _without_duplicates(
    images: LabeledImages, hashes: Sequence[bytes], report: Callable[[str], None]
) -> list[int]:
    """Return the indices of the images, of equal ones the first."""
    first: dict[bytes, int] = {}
    for index, content_hash in enumerate(hashes):
        other = first.setdefault(content_hash, index)
        if other == index:
            continue
        one, two = _name(images, index), _name(images, other)
        if images.labels[index] != images.labels[other]:
            raise DataError(f"{one} and {two} are the same image in two classes; delete one")
        report(f"{one} is the same image as {two}; skipped")
    return list(first.values())


def _drop_set_apart(
    given: Mapping[Split, LabeledImages],
    hashes: Mapping[Split, Sequence[bytes]],
    used: Mapping[Split, list[int]],
    report: Callable[[str], None],
) -> None:
    """Drop training images that are also in another split, and validation images in the test split.

    Args:
        given: the images.
        hashes: those of their contents.
        used: indices of the images that are used; changed in place.
        report: called with one line about each image that is dropped.
    """
    others: dict[Split, tuple[Split, ...]] = {
        "validation": ("test",),
        "train": ("validation", "test"),
    }
    for split in [split for split in others if split in given]:
        set_apart = {
            hashes[other][index]: _name(given[other], index)
            for other in others[split]
            for index in used.get(other, ())
        }
        for index in list(used[split]):
            if name := set_apart.get(hashes[split][index]):
                report(f"{_name(given[split], index)} is the same image as {name}; skipped")
                used[split].remove(index)


def _name(images: LabeledImages, index: int) -> str:
    """Return how messages call an image: its path, or its number in an array."""
    if isinstance(images.images, np.ndarray):
        return f"image {index} of '{images.name}'"
    return f"'{images.images[index]}'"
