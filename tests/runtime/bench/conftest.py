"""A few labeled images as the benchmark takes them, and a folder with a broken one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_runtime.labeled_images import LabeledImages
    from fmx_training.data.dataset import Dataset, Splits


@pytest.fixture(scope="session")
def sample(splits: Splits) -> Dataset:
    """40 real test images."""
    return splits.test.balanced_sample(40, 0)


@pytest.fixture(scope="session")
def labeled(sample: Dataset) -> LabeledImages:
    """The same images with their labels."""
    from fmx_runtime.labeled_images import LabeledImages

    return LabeledImages(sample.name, sample.images, sample.labels, sample.class_names)


@pytest.fixture(scope="session")
def npz(labeled: LabeledImages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in a file."""
    from fmx_runtime.labeled_images import save

    path = tmp_path_factory.mktemp("few") / "few.npz"
    save(labeled, path)
    return path


@pytest.fixture(scope="session")
def npy(sample: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images alone, as worker processes take them."""
    path = tmp_path_factory.mktemp("few") / "few.npy"
    np.save(path, sample.images)
    return path


@pytest.fixture
def broken_folder(sample: Dataset, tmp_path: Path) -> Path:
    """A folder DIR/CLASS/IMAGE of the images, one of which is cut off in the middle."""
    path = tmp_path / "data"
    for index, image in enumerate(sample.images):
        folder = path / sample.class_names[sample.labels[index]].replace("/", "-")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[:, :, 0]).save(folder / f"{index:02}.png")
    broken = next((path / "Bag").iterdir())
    broken.write_bytes(broken.read_bytes()[:60])
    return path
