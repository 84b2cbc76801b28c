from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_runtime.errors import DataError
from fmx_training.data import saved_images
from fmx_training.data.dataset import Dataset, Splits
from fmx_training.data.splits import SPLITS
from fmx_training.data.training_examples import Examples

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("cat", "dog")


def random_images(count: int, seed: int) -> np.ndarray:
    """Images of random pixels."""
    return np.random.default_rng(seed).integers(0, 256, (count, 6, 5, 3), np.uint8)


def test_splits_are_saved_and_read(tmp_path: Path) -> None:
    """All splits are read as they were saved; a damaged file is named."""
    splits = Splits(
        *(
            Dataset(f"pets {split}", random_images(4, seed), np.array([0, 1, 1, 0]), NAMES)
            for seed, split in enumerate(SPLITS)
        )
    )
    assert saved_images.read_splits(tmp_path) is None
    saved_images.save_splits(tmp_path, splits)
    again = saved_images.read_splits(tmp_path)
    assert again is not None
    for split in SPLITS:
        assert getattr(again, split).digest() == getattr(splits, split).digest()
        assert getattr(again, split).class_names == NAMES
        assert getattr(again, split).name == f"pets {split}"
    (tmp_path / "data/test.npz").write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(DataError, match=r"test\.npz"):
        saved_images.read_splits(tmp_path)


def test_photos_are_saved_and_read(tmp_path: Path) -> None:
    """Photos are read as they were saved; a damaged file is named."""
    targets = np.array([[1, 0], [0.5, 0.5]], np.float32)
    examples = Examples("photos", random_images(2, 0), targets, NAMES)
    assert saved_images.read_photos(tmp_path, NAMES) is None
    saved_images.save_photos(tmp_path, examples)
    again = saved_images.read_photos(tmp_path, NAMES)
    assert again is not None
    assert again.sha256 == examples.sha256
    (tmp_path / "data/photos.npz").write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(DataError, match=r"photos\.npz' is damaged"):
        saved_images.read_photos(tmp_path, NAMES)
