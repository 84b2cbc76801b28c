from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fmx_training.data.dataset import Dataset
from fmx_training.data.training_examples import (
    Examples,
    concatenate,
    from_dataset,
    from_unbalanced_dataset,
)

NAMES = ("cat", "dog", "fish")


@pytest.fixture
def dataset() -> Dataset:
    """Eight cats, two dogs and two fish."""
    images = np.arange(12, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint8)
    return Dataset("pets", images, np.array([0] * 8 + [1] * 2 + [2] * 2), NAMES)


def test_labels_become_one_hot_targets(dataset: Dataset) -> None:
    """Each target has all of its probability at the label."""
    examples = from_dataset(dataset)
    assert len(examples) == 12
    assert examples.targets.dtype == np.float32
    assert np.array_equal(examples.targets.argmax(axis=1), dataset.labels)
    assert (np.sort(examples.targets, axis=1) == [0, 0, 1]).all()
    assert examples.weights is None


def test_rare_classes_have_larger_weights(dataset: Dataset) -> None:
    """A class with a quarter of the images has twice the weight; the mean weight is 1."""
    weights = from_unbalanced_dataset(dataset).weights
    assert weights is not None
    assert np.isclose(weights.mean(), 1)
    assert np.allclose(weights[8:] / weights[0], 2)


def test_concatenate(dataset: Dataset) -> None:
    """Examples come in the order of the parts; the name has all names."""
    targets = np.full((2, 3), 1 / 3, np.float32)
    photos = Examples("photos", np.zeros((2, 4, 4, 1), np.uint8), targets, NAMES)
    both = concatenate([from_dataset(dataset), photos])
    assert both.name == "pets and photos"
    assert len(both) == 14
    assert np.array_equal(both.images[:12], dataset.images)
    assert np.array_equal(both.targets[12:], targets)


def test_checksum(dataset: Dataset) -> None:
    """The checksum depends on images and targets, not on the name."""
    examples = from_dataset(dataset)
    assert dataclasses.replace(examples, name="other").sha256 == examples.sha256
    assert dataclasses.replace(examples, targets=1 - examples.targets).sha256 != examples.sha256
    assert dataclasses.replace(examples, images=examples.images[::-1]).sha256 != examples.sha256
