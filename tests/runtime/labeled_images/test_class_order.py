from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from fmx_runtime.errors import DataError
from fmx_runtime.labeled_images.class_order import check_label_range, class_numbers, few_of

FASHION_MNIST = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def numbers(
    classes: tuple[str, ...], labels: tuple[str, ...], *, allow_missing: bool = False
) -> list[int]:
    """Return the model's numbers of the classes, all of which have images."""
    found = class_numbers("data", classes, labels, used=classes, allow_missing=allow_missing)
    assert found.dtype == np.int64
    return found.tolist()


@pytest.mark.parametrize("slash", ["-", "_", ":", " "])
def test_labels_of_fashion_mnist(slash: str) -> None:
    """Labels in any order are found, and '/' may be written in several ways."""
    classes = tuple(sorted(name.replace("/", slash) for name in FASHION_MNIST))
    found = numbers(classes, FASHION_MNIST)
    assert [FASHION_MNIST[number].replace("/", slash) for number in found] == list(classes)


def test_equal_names_come_before_similar_ones() -> None:
    """A folder with the very name of a label is that class, even if it could be another one."""
    assert numbers(("a-b", "a_b"), ("a/b", "a-b")) == [1, 0]


def test_composed_and_decomposed_letters_are_equal() -> None:
    """A folder's name on macOS has decomposed letters."""
    assert numbers((unicodedata.normalize("NFD", "Ärmel"), "Hose"), ("Hose", "Ärmel")) == [1, 0]


def test_differences_are_named() -> None:
    """Classes that are no labels and labels without a class are named in one line."""
    with pytest.raises(DataError) as caught:
        numbers(("bird", "cat"), ("dog", "cat"))
    assert str(caught.value) == (
        "'data': its classes (bird, cat) are not the labels of the model (dog, cat): "
        "unknown to the model: bird; missing: dog"
    )
    with pytest.raises(DataError, match=r"\(dog, cat\): missing: dog$"):
        numbers(("cat",), ("dog", "cat"))
    many = tuple(f"label {number}" for number in range(1000))
    with pytest.raises(DataError, match=r"missing: label 1, label 2, .* … 999 in all$"):
        numbers(("label 0",), many)


def test_missing_classes_may_be_allowed() -> None:
    """Calibration needs no image of every class."""
    assert numbers(("cat",), ("dog", "cat"), allow_missing=True) == [1]
    with pytest.raises(DataError, match="unknown to the model: bird"):
        numbers(("bird",), ("dog", "cat"), allow_missing=True)


def test_classes_without_images_may_be_unknown() -> None:
    """An empty folder beside the classes does no harm."""
    found = class_numbers(
        "data", ("a", "b", "notes"), ("b", "a"), used={"a", "b"}, allow_missing=False
    )
    assert found.tolist() == [1, 0, -1]


def test_two_folders_of_one_class_are_refused() -> None:
    """A class that is written in two ways is named with both."""
    with pytest.raises(DataError, match="'a-b' and 'a_b' are both images of 'a/b'; put them into"):
        numbers(("a-b", "a_b"), ("a/b",))


@pytest.mark.parametrize(("labels", "found"), [([0, 3], "0 to 3"), ([-1, 0], "-1 to 0")])
def test_numbers_out_of_range(labels: list[int], found: str) -> None:
    """Class numbers that the model does not have are refused."""
    check_label_range("data", np.array([0, 2]), 3)
    with pytest.raises(DataError, match=f"go from {found}; the model's 3 classes are 0 to 2"):
        check_label_range("data", np.array(labels), 3)


def test_few_of() -> None:
    """Up to four names are listed, of more the first ones and their number."""
    assert few_of("abcd") == "a, b, c, d"
    assert few_of("abcde") == "a, b, c, d, … 5 in all"
