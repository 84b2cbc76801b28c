from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmx_runtime.errors import DataError
from fmx_runtime.labeled_images import LabeledImages
from fmx_training.data.splits import SPLITS, split_by_content, split_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fmx_runtime.labeled_images import Split

# an image is its number in this file: one pixel more or less makes another image
SEEDS = st.integers(0, 2**32)
CLASSES = 4


def images(numbers: Iterable[int], name: str = "images") -> LabeledImages:
    """Images 8x8, each with its number in its pixels; number % CLASSES is the label."""
    array = np.array(sorted(set(numbers)), np.int64)
    pixels = np.zeros((len(array), 8, 8, 1), np.uint8)
    pixels[:, 0, 0, 0] = array // 256
    pixels[:, 0, 1, 0] = array % 256
    return LabeledImages(name, pixels, array % CLASSES, tuple("abcd"))


def numbers(split: LabeledImages | None) -> set[int]:
    """The numbers of the images in a split."""
    if split is None:
        return set()
    pixels = np.asarray(split.images)
    found = pixels[:, 0, 0, 0].astype(int) * 256 + pixels[:, 0, 1, 0]
    assert (found % CLASSES == split.labels).all()
    return set(found.tolist())


def split(given: dict[Split, LabeledImages], seed: int = 0) -> dict[Split, set[int]]:
    """The numbers of the images in each split."""
    found = split_by_content(given, seed, lambda _: None)
    return {name: numbers(found.get(name)) for name in SPLITS}


@given(st.sets(st.integers(0, 2000), min_size=1), st.sets(st.integers(0, 2000)), SEEDS)
def test_added_images_move_no_other_image(before: set[int], added: set[int], seed: int) -> None:
    """The split of an image depends on nothing but its content and the seed.

    However few images a class has, and whatever images and classes are added or removed.
    """
    first = split({"train": images(before)}, seed)
    second = split({"train": images(before | added)}, seed)
    for name in SPLITS:
        assert first[name] == second[name] & before
    assert set.union(*first.values()) == before


@given(
    st.sets(st.integers(0, 2000), min_size=1),
    st.sets(st.integers(0, 2000), min_size=1),
    st.sampled_from(["validation", "test"]),
    SEEDS,
)
def test_images_set_apart_move_no_other_image(
    train: set[int], apart: set[int], name: Split, seed: int
) -> None:
    """Images that are set apart stay apart; the others keep their split, if it is split off."""
    (other,) = {"validation", "test"} - {name}
    before = split({"train": images(train)}, seed)
    after = split({"train": images(train), name: images(apart)}, seed)
    assert after[name] == apart
    assert after[other] == before[other] - apart
    assert after["train"] == (before["train"] | before[name]) - apart


@given(st.sets(st.integers(0, 2000), min_size=1), st.sets(st.integers(0, 2000), min_size=1), SEEDS)
def test_no_image_is_in_two_splits(train: set[int], test: set[int], seed: int) -> None:
    """Equal images are never in two splits, however often they occur."""
    twice = images(train)
    doubled = twice.take(np.repeat(np.arange(len(twice)), 2))
    found = split_by_content({"train": doubled, "test": images(test)}, seed, lambda _: None)
    pixels = [image.tobytes() for part in found.values() for image in np.asarray(part.images)]
    assert len(pixels) == len(set(pixels))


def test_shares() -> None:
    """About a tenth of the images each for validation and for test; another seed, others."""
    found = split({"train": images(range(5000))})
    assert len(found["validation"]) == pytest.approx(500, abs=70)
    assert len(found["test"]) == pytest.approx(500, abs=70)
    assert split({"train": images(range(5000))}, seed=1) != found


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (0, "validation"),
        (0.0999, "validation"),
        (0.1001, "test"),
        (0.1999, "test"),
        (0.2001, "train"),
    ],
)
def test_place_of_a_hash(place: float, expected: str) -> None:
    """The first bytes of the hash decide."""
    assert split_of(int(place * 2**64).to_bytes(8, "big") + b"rest") == expected
    assert split_of(b"\xff" * 32) == "train"


def test_the_split_is_pinned() -> None:
    """The same images are in the same splits on every machine and in every version."""
    found = split({"train": images(range(60))})
    assert (sorted(found["validation"]), sorted(found["test"])) == (
        [1, 4, 16, 23, 28, 32, 46],
        [2, 3, 30, 35, 41],
    )


def test_duplicates_are_reported() -> None:
    """Of equal images one is used, and each other one is reported."""
    lines: list[str] = []
    few = images([30, 31, 32]).take([0, 1, 0])
    found = split_by_content({"train": few, "test": images([31], "apart")}, 0, lines.append)
    assert numbers(found["test"]) == {31}
    assert numbers(found.get("train")) | numbers(found.get("validation")) == {30}
    assert lines == [
        "image 2 of 'images' is the same image as image 0 of 'images'; skipped",
        "image 1 of 'images' is the same image as image 0 of 'apart'; skipped",
    ]


def test_an_image_in_two_classes_is_refused() -> None:
    """One of the two labels is wrong, and only the user knows which."""
    few = images([1, 1 + 256 * CLASSES])
    same = LabeledImages("x", np.asarray(few.images)[[0, 0]], np.array([0, 1]), few.class_names)
    with pytest.raises(DataError, match="image 1 of 'x' and image 0 of 'x' are the same image in"):
        split_by_content({"train": same}, 0, lambda _: None)
