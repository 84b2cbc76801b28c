from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from fmx_runtime.errors import DataError
from fmx_runtime.model_file.metadata import InputSpec
from fmx_training.data.training_data import (
    from_fashion_mnist,
    from_image_folder,
    reload_training_data,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fmx_training.data.fashion_mnist import Found
    from fmx_training.data.training_data import TrainingData

SPEC = InputSpec(
    height=16, width=16, channels=3, scale=1 / 255, offset=0.0, resize="fit", polarity="any"
)


def no_progress(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
    """Show no progress."""
    assert total > 0
    assert what == "images"
    return items


@pytest.fixture
def user_images(tmp_path: Path) -> TrainingData:
    """Random images of two classes, one of which is rare."""
    random = np.random.default_rng(0)
    for name, count in (("cat", 60), ("dog", 20)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for index in range(count):
            pixels = random.integers(0, 256, (20, 20, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{index}.png")
    data, spec = from_image_folder(
        tmp_path / "pets", SPEC, 0, gray=True, watch=no_progress, report=lambda _: None
    )
    assert spec == SPEC
    return data


def test_user_images_are_reloaded_from_the_run(user_images: TrainingData, tmp_path: Path) -> None:
    """A run has its own copy of a user's images; rare classes have larger weights."""
    weights = user_images.examples.weights
    assert weights is not None
    assert weights.max() > 1 > weights.min()
    user_images.save(tmp_path / "run")
    train = user_images.splits.train
    again = reload_training_data(tmp_path / "run", train.class_names, train.digest(), None)
    assert again.user_images
    assert again.examples.sha256 == user_images.examples.sha256
    with pytest.raises(DataError, match="has its own images; --data-dir is for Fashion-MNIST"):
        reload_training_data(tmp_path / "run", train.class_names, train.digest(), tmp_path)


def test_fashion_mnist_is_found_again(found: Found, tmp_path: Path) -> None:
    """Fashion-MNIST is not copied into a run; other images than the run's are refused."""
    data = from_fashion_mnist(found.folder, None, SPEC, watch=no_progress, report=lambda _: None)
    assert data.examples.name == "fashion-mnist train"
    data.save(tmp_path)
    assert not list(tmp_path.iterdir())
    train = data.splits.train
    again = reload_training_data(tmp_path, train.class_names, train.digest(), found.folder)
    assert again.examples.sha256 == data.examples.sha256
    with pytest.raises(DataError, match="was started with other training data than fashion-mnis"):
        reload_training_data(tmp_path, train.class_names, "0" * 64, found.folder)
