from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from fmx_export.common.errors import InputRangeError
from fmx_export.pipeline.external_model import read_external_model
from fmx_runtime.errors import DataError
from fmx_runtime.images.preprocess import to_pixels
from fmx_runtime.labeled_images import LabeledImages, UnlabeledImages, read_splits

if TYPE_CHECKING:
    from fmx_export.pipeline.external_model import ExternalModel
    from fmx_training.data.dataset import Splits

PHOTOS = Path(__file__).parents[4] / "shared/photos/validation"
NAMES = ("zebra", "Bag", "ankle boot")


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network of three classes for RGB images of 24x20 pixels, values 0 to 255."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((20, 24, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, strides=4),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    path = tmp_path_factory.mktemp("model") / "net.keras"
    model.save(path)
    return path


@pytest.fixture
def folder(few: Splits, tmp_path: Path) -> Path:
    """Four real images of each of three classes, in folders named after them."""
    root = tmp_path / "clothes"
    for label, name in enumerate(NAMES):
        (root / name).mkdir(parents=True)
        images = few.test.images[few.test.labels == label][:4]
        for index, image in enumerate(images):
            Image.fromarray(image[..., 0]).save(root / name / f"{index}.png")
    return root


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """The names of the classes in an order that is not alphabetical."""
    path = tmp_path / "labels.txt"
    path.write_text("\n".join(NAMES), "utf-8")
    return path


def read(path: Path, images: Any, **options: Any) -> tuple[ExternalModel, list[str]]:
    """The model and its images, and what was reported."""
    lines: list[str] = []
    given = {"images_name": "clothes", "calibration_size": 500, "seed": 0, **options}
    return read_external_model(path, images, report=lines.append, **given), lines


def test_class_folders(model_path: Path, folder: Path) -> None:
    """Class folders in the order of their names are the labels, as in Keras' own reader."""
    external, lines = read(model_path, read_splits(folder))
    theirs = keras.utils.image_dataset_from_directory(folder, batch_size=None, verbose=False)
    assert external.source.labels == ("Bag", "ankle boot", "zebra") == tuple(theirs.class_names)
    assert (len(external.calibration.images), len(external.validation)) == (6, 6)
    assert external.source.provenance.data == "clothes"
    assert external.validation.labels is not None
    assert np.bincount(external.validation.labels).tolist() == [2, 2, 2]
    assert lines == [
        "6 of the images are used for calibration, 6 others for validation",
        "input range 0..255: the model rescales its input itself",
    ]


def test_images_are_those_of_the_device(model_path: Path, folder: Path) -> None:
    """All images are preprocessed as on the device."""
    external, _ = read(model_path, read_splits(folder))
    expected = {to_pixels(path, external.source.spec).tobytes() for path in folder.rglob("*.png")}
    images = np.concatenate([external.calibration.images, external.validation.images])
    assert {image.tobytes() for image in images} == expected


def test_named_classes(model_path: Path, folder: Path, labels: Path) -> None:
    """With names for the outputs, the order is the names', and folders may be fewer."""
    shutil.rmtree(folder / "ankle boot")
    external, lines = read(model_path, read_splits(folder), labels=labels)
    assert external.source.labels == NAMES
    assert external.validation.labels is not None
    assert set(external.validation.labels.tolist()) == {0, 1}
    assert "'clothes' has no images of ankle boot" in lines


@pytest.mark.parametrize("path", [None, "labels"])
def test_other_classes_are_refused(
    path: str | None, model_path: Path, folder: Path, labels: Path
) -> None:
    """Folders that are no classes of the model are named, with the remedy."""
    (folder / "ankle boot").rename(folder / "shoe")
    shutil.copytree(folder / "shoe", folder / "hat")
    message = "has images of 4 classes, but the model has 3 classes; give their names in the"
    if path:
        message = r"unknown to the model: hat, shoe; missing: ankle boot"
    with pytest.raises(DataError, match=message) as caught:
        read(model_path, read_splits(folder), labels=labels if path else None)
    assert "\n" not in str(caught.value)


def test_too_few_labels(model_path: Path, tmp_path: Path) -> None:
    """A file with another number of labels is refused."""
    (tmp_path / "two.txt").write_text("one\ntwo\n", "utf-8")
    with pytest.raises(DataError, match=r"two\.txt' has 2 labels, but the model '.*' has 3 cl"):
        read(model_path, None, labels=tmp_path / "two.txt")


def test_splits(model_path: Path, folder: Path) -> None:
    """Training images calibrate, validation images validate, test images are not used."""
    root = folder.with_name("split")
    for split in ("train", "val", "test"):
        shutil.copytree(folder, root / split)
    for path in (root / "test").rglob("*.png"):
        path.write_bytes(b"never opened")
    external, lines = read(model_path, read_splits(root), calibration_size=5)
    assert (len(external.calibration.images), len(external.validation)) == (5, 12)
    assert external.calibration.split == "clothes train, balanced sample of 5 (seed 0)"
    assert external.validation.name == "clothes validation"
    assert "5 training images of 'clothes' are used for calibration, 12 validation" in lines[0]
    for split in ("train", "val"):
        shutil.rmtree(root / split)
    with pytest.raises(DataError, match="has only test images, which are not used for calibr"):
        read(model_path, read_splits(root))


def test_unreadable_images(model_path: Path, folder: Path) -> None:
    """A damaged image is reported and skipped; too many are an error."""
    (folder / "Bag/0.png").write_bytes((folder / "Bag/0.png").read_bytes()[:60])
    external, lines = read(model_path, read_splits(folder))
    assert len(external.calibration.images) + len(external.validation) == 11
    assert lines[0].startswith(f"'{folder / 'Bag/0.png'}' is damaged: ")
    for path in folder.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="12 of 12 images cannot be used"):
        read(model_path, read_splits(folder))


def test_images_without_labels(model_path: Path, few: Splits) -> None:
    """Without labels, classes get numbers, and an unknown input range is an error."""
    images = {"all": UnlabeledImages("some", few.test.images[:30])}
    external, _ = read(model_path, images)
    assert external.source.labels == ("class-0", "class-1", "class-2")
    assert external.validation.labels is None
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(3, activation="softmax")]
    )
    path = model_path.with_name("unknown.keras")
    model.save(path)
    with pytest.raises(InputRangeError, match=r"unknown\.keras"):
        read(path, images)
    external, _ = read(path, images, input_range="-1..1")
    assert external.source.spec.offset == -1


def test_the_input_range_is_found_with_labels(few: Splits, tmp_path: Path) -> None:
    """Labeled images show the input range of a model that does not state it."""
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(10, activation="softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    train = few.train
    model.fit(train.images / np.float32(127.5) - 1, train.labels, epochs=5, verbose=0)
    model.save(tmp_path / "net.keras")
    images = {"all": LabeledImages("some", few.test.images, few.test.labels, few.test.class_names)}
    external, lines = read(tmp_path / "net.keras", images)
    assert (external.source.spec.scale, external.source.spec.offset) == (1 / 127.5, -1)
    assert lines[-1].startswith("input range -1..1 fits the labels of the calibration images best")


def test_without_images(model_path: Path) -> None:
    """Random images show whether files compute what the model computes, and no more."""
    external, lines = read(model_path, None, images_name="")
    assert len(external.validation) == 64
    assert external.validation.labels is None
    assert external.source.provenance.data == "random pixels (seed 0)"
    assert "compared with Keras on 64 random images, which tells nothing" in lines[0]


@pytest.mark.parametrize(("low", "high"), [(0, 3), (-1, 1)])
def test_class_numbers_out_of_range(low: int, high: int, model_path: Path) -> None:
    """Class numbers that the model does not have are refused."""
    images = LabeledImages("some", np.zeros((2, 8, 8, 1), np.uint8), np.array([low, high]), ())
    with pytest.raises(DataError, match=f"go from {low} to {high}; the model's 3 classes are 0"):
        read(model_path, {"all": images})


@pytest.mark.skipif(not PHOTOS.exists(), reason="the photos are not here")
def test_real_photos(model_path: Path, tmp_path: Path) -> None:
    """Photos of people's clothes are read, whatever their sizes and colors."""
    for folder in sorted(PHOTOS.iterdir())[:3]:
        shutil.copytree(folder, tmp_path / folder.name, ignore=lambda _, names: sorted(names)[5:])
    external, _ = read(model_path, read_splits(tmp_path))
    assert len(external.calibration.images) + len(external.validation) == 15
    assert external.calibration.images.std() > 30
