from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fmx_runtime.errors import DataError
from fmx_runtime.images.preprocess import to_pixels
from fmx_runtime.labeled_images import LabeledImages, UnlabeledImages, read, read_splits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fmx_runtime.model_file.metadata import InputSpec


@pytest.fixture
def splits_folder(draw: Callable[..., None], tmp_path: Path) -> Path:
    """Two classes in three splits, with one, two and three images each."""
    root = tmp_path / "pets"
    for count, split in enumerate(("train", "val", "test"), 1):
        for seed, name in enumerate(("dog", "cat")):
            draw(root / split / name, count, seed=10 * count + seed)
    return root


def test_splits_are_read(splits_folder: Path) -> None:
    """Each split has a name, labels and the classes of all splits."""
    found = read_splits(splits_folder)
    assert list(found) == ["train", "validation", "test"]
    for count, (split, images) in enumerate(found.items(), 1):
        assert isinstance(images, LabeledImages)
        assert images.name == f"pets {split}"
        assert images.class_names == ("cat", "dog")
        assert images.labels.tolist() == [0] * count + [1] * count
        assert len(images) == 2 * count


def test_benchmarks_take_test_images(splits_folder: Path) -> None:
    """Of a folder with splits, the test images are read; without them the remedy is named."""
    assert read(splits_folder).name == "pets test"
    shutil.rmtree(splits_folder / "test")
    with pytest.raises(DataError, match=r"has train and validation images, but no test images; "):
        read(splits_folder)
    assert len(read(splits_folder / "val")) == 4


def test_classes_without_splits_are_read(splits_folder: Path, spec: InputSpec) -> None:
    """A folder of classes is one set of images, decoded like any image on the device."""
    folder = splits_folder / "test"
    images = read(folder)
    assert isinstance(images, LabeledImages)
    assert (images.name, images.class_names) == ("test", ("cat", "dog"))
    pixels = images.pixels(spec)
    assert pixels.shape == (6, 8, 10, 3)
    assert np.array_equal(pixels[4], to_pixels(folder / "dog/1.png", spec))


def test_images_without_labels(splits_folder: Path) -> None:
    """A flat folder has images without labels; a benchmark cannot use them."""
    found = read_splits(splits_folder / "test/cat")
    assert list(found) == ["all"]
    assert isinstance(found["all"], UnlabeledImages)
    assert (found["all"].name, len(found["all"])) == ("cat", 3)
    with pytest.raises(DataError, match=r"cat' has no images in folders: give one folder for each"):
        read(splits_folder / "test/cat")


def test_hidden_and_loose_files(splits_folder: Path) -> None:
    """Hidden files are ignored; images outside of the class folders are reported."""
    test = splits_folder / "test"
    shutil.copy(test / "dog/0.png", test / "loose.png")
    shutil.copy(test / "dog/0.png", test / "dog/._0.png")
    shutil.copytree(test / "dog", test / "dog/.thumbnails")
    shutil.copy(test / "dog/0.png", splits_folder / "cover.png")
    lines: list[str] = []
    assert len(read(splits_folder, report=lines.append)) == 6
    assert lines == [
        f"'{splits_folder}': 1 images are in no split folder; skipped",
        f"'{test}': 1 images are in no class folder; skipped",
    ]


def test_an_empty_class_is_reported(splits_folder: Path) -> None:
    """A class without images is reported, and stays a class."""
    (splits_folder / "test/cat/0.png").unlink()
    (splits_folder / "val/fish").mkdir()
    (splits_folder / "train/fish").mkdir()
    (splits_folder / "test/fish").mkdir()
    lines: list[str] = []
    images = read(splits_folder, report=lines.append)
    assert images.class_names == ("cat", "dog", "fish")
    assert (
        f"folder '{splits_folder / 'test/fish'}' contains no images: give a folder that does"
        in lines
    )


def test_what_cannot_be_read(tmp_path: Path) -> None:
    """A missing path and a folder without images are one line each."""
    with pytest.raises(DataError, match=r"gone' does not exist; give a folder or an \.npz"):
        read(tmp_path / "gone")
    with pytest.raises(DataError, match="has no images; give a folder of images, or one folder"):
        read_splits(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError, match="has no images") as caught:
        read_splits(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_link_to_a_folder_is_followed(splits_folder: Path, tmp_path: Path) -> None:
    """Classes may be links to folders elsewhere."""
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "dog").symlink_to(splits_folder / "train/dog")
    (linked / "cat").symlink_to(splits_folder / "train/cat")
    assert len(read(linked)) == 2


def test_the_order_of_fashion_mnist(splits_folder: Path, tmp_path: Path) -> None:
    """Folders that are named after a model's labels get the model's class numbers."""
    labels = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker")
    labels = (*labels, "Bag", "Ankle boot")
    for number, label in enumerate(labels):
        folder = tmp_path / "clothes" / label.replace("/", "-")
        folder.mkdir(parents=True)
        Image.new("L", (28, 28), 20 * number).save(folder / "image.png")
    images = read(tmp_path / "clothes").with_class_names(labels)
    assert images.class_names == labels
    spec = _gray_spec()
    assert [int(pixels[0, 0, 0]) for pixels in images.pixels(spec)] == [
        20 * int(label) for label in images.labels
    ]
    assert sorted(images.labels.tolist()) == list(range(10))
    with pytest.raises(DataError, match="unknown to the model: cat, dog; missing: T-shirt/top"):
        read(splits_folder).with_class_names(labels)


def _gray_spec() -> InputSpec:
    from fmx_runtime.model_file.metadata import InputSpec

    return InputSpec(
        height=28, width=28, channels=1, scale=1, offset=0, resize="fit", polarity="any"
    )
