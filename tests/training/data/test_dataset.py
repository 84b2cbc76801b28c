from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmx_runtime.errors import DataError
from fmx_training.data.dataset import Dataset


def numbered(labels: list[int], classes: int) -> Dataset:
    """Images of one gray pixel, whose value is the image's number."""
    images = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1)
    names = tuple(f"class {label}" for label in range(classes))
    return Dataset("numbered", images, np.array(labels, np.int64), names)


def numbers(dataset: Dataset) -> list[int]:
    """Return the numbers of the images."""
    return [int(number) for number in dataset.images.ravel()]


@st.composite
def datasets(draw: st.DrawFn, at_least: int = 1) -> Dataset:
    """Up to 200 numbered images in up to 7 classes, some of which may be empty."""
    classes = draw(st.integers(1, 7))
    labels = st.lists(st.integers(0, classes - 1), min_size=at_least, max_size=200)
    return numbered(draw(labels), classes)


SMALL = numbered([0, 1, 2, 0, 1, 0], 3)


def test_length_and_class_counts() -> None:
    """A data set knows its length, and its classes' counts in label order, empty ones too."""
    dataset = numbered([2, 0, 2], 4)
    assert len(dataset) == 3
    expected = {"class 0": 1, "class 1": 0, "class 2": 2, "class 3": 0}
    assert dataset.class_counts() == expected
    assert list(dataset.class_counts()) == list(expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((6, 2, 2), np.uint8)}, r"images must be a uint8 .* uint8 \(6, 2, 2\)"),
        ({"images": np.zeros((6, 1, 1, 1), np.float32)}, "images must be a uint8 .* float32"),
        ({"images": np.zeros((0, 1, 1, 1), np.uint8)}, "at least one image"),
        ({"images": np.zeros((6, 0, 1, 1), np.uint8)}, r"Received: uint8 \(6, 0, 1, 1\)"),
        ({"labels": np.zeros(5, np.int64)}, r"labels must be an int64 array \(6,\), .*\(5,\)"),
        ({"labels": np.zeros((6, 1), np.int64)}, "one per image"),
        ({"labels": np.zeros(6, np.int32)}, "Received: int32"),
        ({"labels": np.array([0, 0, 0, 0, 0, 3])}, "from 0 to 3; 3 class names allow 0 to 2"),
        ({"labels": np.array([0, 0, 0, 0, 0, -1])}, "labels go from -1"),
        ({"class_names": ()}, "distinct, at least one"),
        ({"class_names": ("a", "b", "a")}, "must be distinct"),
    ],
)
def test_what_is_not_a_data_set_is_refused(change: dict[str, object], message: str) -> None:
    """A wrong shape, dtype, length, label or class name is named in a one-line DataError."""
    with pytest.raises(DataError, match=message) as caught:
        replace(SMALL, **change)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_arrays_are_read_only() -> None:
    """The arrays of a data set cannot be changed."""
    with pytest.raises(ValueError, match="read-only"):
        SMALL.images[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        SMALL.labels[0] = 1


def test_the_callers_arrays_stay_writable() -> None:
    """Only the data set's own view is read-only."""
    images = np.zeros((1, 1, 1, 1), np.uint8)
    Dataset("one", images, np.zeros(1, np.int64), ("a",))
    images[0] = 1
    assert images.flags.writeable


def test_digest_is_pinned() -> None:
    """The digest of a small data set stays the same from version to version."""
    expected = "88ae09d11705c5ba2bb1f4b89af0f92091e22b85a0d152ebe093bea5a7cfee37"
    assert SMALL.digest() == expected
    assert replace(SMALL, name="another").digest() == expected


@pytest.mark.parametrize(
    "other",
    [
        numbered([0, 1, 2, 0, 1, 1], 3),
        replace(SMALL, images=SMALL.images[::-1]),
        replace(SMALL, images=np.tile(SMALL.images, (1, 2, 1, 1))),
        replace(SMALL, images=np.tile(SMALL.images, (1, 1, 2, 1))),
    ],
)
def test_digest_tells_data_sets_apart(other: Dataset) -> None:
    """Another label, order or shape is another digest."""
    assert other.digest() != SMALL.digest()


def test_digest_ignores_the_memory_layout() -> None:
    """The same values in another memory order are the same data."""
    turned = np.asfortranarray(np.arange(24, dtype=np.uint8).reshape(2, 3, 4, 1))
    labels = np.zeros(2, np.int64)
    straight = Dataset("a", np.ascontiguousarray(turned), labels, ("x",))
    assert Dataset("b", turned, labels, ("x",)).digest() == straight.digest()


def test_take_keeps_images_and_labels_together() -> None:
    """`take` gives the images in the order asked for, under the new name."""
    taken = SMALL.take([4, 0, 4], "three")
    assert numbers(taken) == [4, 0, 4]
    assert taken.labels.tolist() == [1, 0, 1]
    assert (taken.name, taken.class_names) == ("three", SMALL.class_names)


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([], "at least one integer"),
        ([0.0], "Received: float64"),
        ([[0]], r"Received: int64 \(1, 1\)"),
        ([True, False], "Received: bool"),
        ([6], "from 6 to 6; numbered has images 0 to 5"),
        ([-1, 2], "from -1 to 2"),
    ],
)
def test_take_refuses_what_is_no_index(indices: list[int], message: str) -> None:
    """No index, a mask, a float, another dimension or a number out of range is refused."""
    with pytest.raises(DataError, match=message):
        SMALL.take(indices, "taken")


@given(datasets(), st.data())
def test_balanced_sample(dataset: Dataset, data: st.DataObject) -> None:
    """Images differ; no class has two more than another one that has images left."""
    size = data.draw(st.integers(1, len(dataset)))
    sample = dataset.balanced_sample(size, seed=data.draw(st.integers(0, 2**32)))
    chosen = numbers(sample)
    assert len(set(chosen)) == len(chosen) == size
    assert np.array_equal(sample.labels, dataset.labels[chosen])
    available, taken = dataset.class_counts(), sample.class_counts()
    not_used_up = [taken[name] for name in taken if taken[name] < available[name]]
    assert max(taken.values()) <= min(not_used_up, default=size) + 1


def test_balanced_sample_is_balanced_from_its_start() -> None:
    """The first images of a sample are a balanced sample themselves."""
    sample = numbered([0] * 50 + [1] * 50 + [2] * 50, 3).balanced_sample(30, seed=1)
    for end in range(3, 31, 3):
        assert np.bincount(sample.labels[:end]).tolist() == [end // 3] * 3


@given(datasets(at_least=2), st.data())
def test_split(dataset: Dataset, data: st.DataObject) -> None:
    """Each image is in one part; order is kept; each class is split in proportion."""
    held_out = data.draw(st.integers(1, len(dataset) - 1))
    rest, held = dataset.split(held_out, seed=data.draw(st.integers(0, 2**32)))
    assert len(held) == held_out
    assert sorted(numbers(rest) + numbers(held)) == list(range(len(dataset)))
    for part in (rest, held):
        assert numbers(part) == sorted(numbers(part))
        assert np.array_equal(part.labels, dataset.labels[numbers(part)])
    for name, count in dataset.class_counts().items():
        share = count * held_out / len(dataset)
        assert math.floor(share) <= held.class_counts()[name] <= math.ceil(share)


@given(st.integers(0, 2**64))
def test_seeds_are_repeatable(seed: int) -> None:
    """Sampling and splitting again with one seed gives the same images in the same order."""
    dataset = numbered([number % 5 for number in range(100)], 5)
    again = numbered([number % 5 for number in range(100)], 5)
    sample, sample_again = dataset.balanced_sample(20, seed), again.balanced_sample(20, seed)
    assert numbers(sample) == numbers(sample_again)
    parts, parts_again = dataset.split(20, seed), again.split(20, seed)
    assert [numbers(part) for part in parts] == [numbers(part) for part in parts_again]


def test_seeds_are_pinned_and_differ() -> None:
    """Seed 0 draws these very images on every machine and version; seed 1 draws others."""
    dataset = numbered([number % 5 for number in range(100)], 5)
    sample, held = [11, 92, 3, 20, 59, 13, 2, 69, 21, 55], [2, 3, 11, 13, 20, 21, 55, 59, 69, 92]
    assert numbers(dataset.balanced_sample(10, seed=0)) == sample
    assert numbers(dataset.split(10, seed=0)[1]) == held
    assert numbers(dataset.balanced_sample(10, seed=1)) != sample
    assert numbers(dataset.split(10, seed=1)[1]) != held


@pytest.mark.parametrize("size", [0, -1, 7])
def test_impossible_sample_sizes_are_refused(size: int) -> None:
    """A sample must have at least one image, and at most all."""
    with pytest.raises(DataError, match=f"1 to 6 images. Received: {size}"):
        SMALL.balanced_sample(size, seed=0)


@pytest.mark.parametrize("held_out", [0, -1, 6])
def test_splits_without_images_are_refused(held_out: int) -> None:
    """Holding out nothing or everything is refused."""
    with pytest.raises(DataError, match=f"can be held out. Received: {held_out}"):
        SMALL.split(held_out, seed=0)


def test_a_negative_seed_is_refused() -> None:
    """A seed below 0 is named, for sampling and for splitting."""
    with pytest.raises(DataError, match=r"a seed must be 0 or more\. Received: -1"):
        SMALL.split(1, seed=-1)
    with pytest.raises(DataError, match=r"a seed must be 0 or more\. Received: -1"):
        SMALL.balanced_sample(1, seed=-1)
