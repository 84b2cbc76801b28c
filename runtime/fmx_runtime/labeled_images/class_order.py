"""Map the classes of labeled images to the class numbers of a model."""

from __future__ import annotations

import itertools
import re
import unicodedata
from typing import TYPE_CHECKING

import numpy as np

from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from numpy.typing import NDArray

__all__ = ["check_label_range", "class_numbers", "few_of"]

_SHOWN = 4
"""Names that a message lists."""

_SLASH_STANDS_FOR = "-_: "
"""What may stand for ``/`` in a folder's name. The macOS Finder writes a colon."""


def class_numbers(
    data: str,
    classes: Sequence[str],
    labels: Sequence[str],
    *,
    used: Collection[str],
    allow_missing: bool,
) -> NDArray[np.int64]:
    """Return the model's number of each class.

    Args:
        data: name of the images, for messages.
        classes: the classes' names: those of folders, or of an ``.npz`` file.
        labels: the model's labels.
        used: the classes that have images. Classes without images need not be among the labels.
        allow_missing: whether labels without a class are accepted.

    Returns:
        int64 ``(len(classes),)``; -1 for a class without images that is not among the labels.

    Raises:
        DataError: classes and labels differ; the message names the differences.
    """
    by_name = _numbers_by_name(labels)
    numbers = [by_name.get(_normalized(name), -1) for name in classes]
    unknown = [n for n, number in zip(classes, numbers, strict=True) if number < 0 and n in used]
    found = set(numbers)
    missing = [label for number, label in enumerate(labels) if number not in found]
    if unknown or (missing and not allow_missing):
        differences = [
            f"{what}: {few_of(names)}"
            for what, names in (("unknown to the model", unknown), ("missing", missing))
            if names
        ]
        raise DataError(
            f"'{data}': its classes ({few_of(classes)}) are not the labels of the model "
            f"({few_of(labels)}): {'; '.join(differences)}"
        )
    for one, other in itertools.combinations(range(len(classes)), 2):
        if numbers[one] == numbers[other] >= 0:
            raise DataError(
                f"'{data}': '{classes[one]}' and '{classes[other]}' are both images of "
                f"'{labels[numbers[one]]}'; put them into one folder"
            )
    return np.array(numbers, np.int64)


def check_label_range(data: str, labels: NDArray[np.int64], classes: int) -> None:
    """Check that all class numbers are below ``classes``.

    Raises:
        DataError: a number is negative or too large.
    """
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"'{data}': labels go from {labels.min()} to {labels.max()}; "
            f"the model's {classes} classes are 0 to {classes - 1}"
        )


def few_of(names: Sequence[str]) -> str:
    """Return names for a message: all if they are few, or else the first ones and the number."""
    shown = ", ".join(names[:_SHOWN])
    return f"{shown}, … {len(names)} in all" if len(names) > _SHOWN else shown


def _numbers_by_name(labels: Sequence[str]) -> dict[str, int]:
    """Return the number of each name that a class may have: a label, or how a folder writes it."""
    numbers: dict[str, int] = {}
    for number, label in enumerate(labels):
        for name in _folder_names(label):
            numbers.setdefault(name, number)
    # an exact label takes precedence over the folder name of another label
    numbers.update({_normalized(label): number for number, label in enumerate(labels)})
    return numbers


def _folder_names(label: str) -> Iterable[str]:
    name = _normalized(label)
    return (name.replace("/", character) for character in _SLASH_STANDS_FOR)


def _normalized(name: str) -> str:
    """Return a name in Unicode's composed form; macOS decomposes the names of folders."""
    return unicodedata.normalize("NFC", re.sub(r"\s+", " ", name.strip()))
