from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
from PIL import Image

from fmx_runtime.errors import DataError
from fmx_runtime.images.preprocess import to_pixels
from fmx_runtime.model_file.metadata import InputSpec
from fmx_training.data import image_folder
from fmx_training.data.dataset import Dataset
from fmx_training.data.image_folder import Images

if TYPE_CHECKING:
    from collections.abc import Callable

    from fmx_training.data.dataset import Splits

PHOTOS = Path(__file__).parents[4] / "shared/photos/validation"
SPEC = InputSpec(
    height=20, width=24, channels=3, scale=1, offset=0, resize="stretch", polarity="any"
)


def read(path: Path, **changes: Any) -> tuple[Any, list[str]]:
    """The images, and what was reported."""
    said: list[str] = []
    given = {"classes": 3, "names": None, "report": said.append, **changes}
    return image_folder.read(path, given.pop("spec", SPEC), **given), said


@pytest.fixture
def folder(few: Splits, tmp_path: Path) -> Path:
    """Four real images of each of three classes, in folders named after them."""
    root = tmp_path / "clothes"
    for label, name in enumerate(("zebra", "Bag", "ankle boot")):
        (root / name).mkdir(parents=True)
        images = few.test.images[few.test.labels == label][:4]
        for index, image in enumerate(images):
            Image.fromarray(image[..., 0]).save(root / name / f"{index}.png")
    return root


def test_class_folders(folder: Path) -> None:
    """Sub-folders are classes in sorted order, and each image is what the device would see."""
    images, said = read(folder)
    assert isinstance(images, Dataset)
    assert (images.name, images.class_names) == ("clothes", ("Bag", "ankle boot", "zebra"))
    assert images.images.shape == (12, 20, 24, 3)
    assert images.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert np.array_equal(images.images[5], to_pixels(folder / "ankle boot/1.png", SPEC))
    assert not said


def test_order_of_keras(folder: Path) -> None:
    """Classes have the numbers that Keras' own reader of folders gives them."""
    theirs = keras.utils.image_dataset_from_directory(folder, batch_size=None, verbose=False)
    assert list(read(folder)[0].class_names) == theirs.class_names


def test_named_classes(folder: Path) -> None:
    """With names for the network's outputs, folders may be fewer, and their order is the names'."""
    names = ("zebra", "shoe", "Bag", "ankle boot")
    images, _ = read(folder, classes=4, names=names)
    assert images.class_names == names
    assert images.class_counts() == {"zebra": 4, "shoe": 0, "Bag": 4, "ankle boot": 4}


def test_a_flat_folder(folder: Path) -> None:
    """Images without class folders have no labels."""
    images, said = read(folder / "Bag")
    assert isinstance(images, Images)
    assert images.labels is None
    assert (images.name, len(images)) == ("Bag", 4)
    assert not said


def test_what_is_left_out(folder: Path) -> None:
    """Broken images and those outside of the classes are named; other files do not count."""
    (folder / "Bag/0.png").write_bytes((folder / "Bag/0.png").read_bytes()[:60])
    (folder / "Bag/notes.txt").write_text("mine", "utf-8")
    (folder / "Bag/._1.png").write_bytes(b"macOS")
    (folder / ".cache").mkdir()
    (folder / "zebra/more").mkdir()
    shutil.copy(folder / "Bag/1.png", folder / "zebra/more/5.PNG")
    shutil.copy(folder / "Bag/1.png", folder / "loose.png")
    images, said = read(folder)
    assert images.class_counts() == {"Bag": 3, "ankle boot": 4, "zebra": 5}
    assert len(said) == 2
    assert "1 images lie in no class's folder" in said[0]
    assert said[1].startswith(f"'{folder / 'Bag/0.png'}' is damaged: ")


@pytest.mark.parametrize(
    ("change", "given", "message"),
    [
        (lambda _: None, {"classes": 4}, "folders for 3 classes, the network tells 4 apart; give"),
        (
            lambda _: None,
            {"names": ("Bag", "zebra", "shoe")},
            "'ankle boot' is none of the 3 labels, which begin with 'Bag'",
        ),
        (lambda root: [shutil.rmtree(x) for x in root.iterdir()], {}, "no image in it; give"),
        (
            lambda root: [x.write_bytes(b"") for x in root.rglob("*.png")],
            {},
            "none of its 12 images can be read",
        ),
        (shutil.rmtree, {}, "does not exist; give a folder or an .npz file"),
    ],
    ids=["too few", "strange", "empty", "broken", "gone"],
)
def test_folders_that_do_not_fit(
    change: Callable[[Path], object], given: dict[str, Any], message: str, folder: Path
) -> None:
    """Any other folder is refused in one line with its name."""
    change(folder)
    with pytest.raises(DataError, match=message) as caught:
        read(folder, **given)
    assert "clothes" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("axes", [3, 4])
def test_arrays(axes: int, few: Splits, tmp_path: Path) -> None:
    """An .npz file has gray or colour images of any size, and integer labels of any type."""
    pixels, labels = few.test.images[:30], few.test.labels[:30]
    path = tmp_path / "some.npz"
    np.savez(path, images=pixels if axes == 4 else pixels[..., 0], labels=labels.astype(np.uint8))
    images, _ = read(path, classes=10)
    assert isinstance(images, Dataset)
    assert np.array_equal(images.labels, labels)
    assert images.class_names[9] == "class-9"
    assert np.array_equal(images.images[7], to_pixels(pixels[7], SPEC))


def test_arrays_without_labels(few: Splits, tmp_path: Path) -> None:
    """Images alone are images without labels, byte for byte where they have the size."""
    path = tmp_path / "some.npz"
    np.savez_compressed(path, images=few.test.images[:30])
    spec = InputSpec(
        height=28, width=28, channels=1, scale=1, offset=0, resize="fit", polarity="any"
    )
    images, _ = read(path, spec=spec)
    assert isinstance(images, Images)
    assert np.array_equal(images.images, few.test.images[:30])


ZEROS = np.zeros((2, 8, 8), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": ZEROS}, "no array named 'images'"),
        ({"images": ZEROS / 255}, r"values 0 to 255; received float64 \(2, 8, 8\)"),
        ({"images": ZEROS[0]}, r"received uint8 \(8, 8\)"),
        ({"images": ZEROS[..., None, None]}, r"received uint8 \(2, 8, 8, 1, 1\)"),
        ({"images": ZEROS[:0]}, r"has no images in it; received \(0, 8, 8\)"),
        ({"images": ZEROS, "labels": np.array([1])}, r"integers \(2,\).*received int64 \(1,\)"),
        ({"images": ZEROS, "labels": np.array([[1], [0]])}, r"received int64 \(2, 1\)"),
        ({"images": ZEROS, "labels": np.array(["a", "b"])}, r"received <U1 \(2,\)"),
        ({"images": ZEROS, "labels": np.array([0, 3])}, "go from 0 to 3; the network's 3 classes"),
        ({"images": ZEROS, "labels": np.array([-1, 0])}, "go from -1 to 0"),
        ({"images": np.array([ZEROS, None], object)}, "can be read: Object arrays cannot be"),
    ],
)
def test_arrays_that_do_not_fit(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Any other arrays are refused with what was expected and found."""
    path = tmp_path / "some.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"'{path}'")


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("hello", "utf-8"),
        lambda path: path.write_bytes(pickle.dumps({"images": 1})),
        lambda path: np.save(path.open("wb"), ZEROS),
        lambda path: path.write_bytes(b"PK\x03\x04" + bytes(90)),
    ],
    ids=["empty", "text", "pickle", "npy", "damaged"],
)
def test_files_that_are_no_arrays(write: Callable[[Path], object], tmp_path: Path) -> None:
    """Any other file is refused in one line with its name; a pickle is not unpacked."""
    path = tmp_path / "some.npz"
    write(path)
    with pytest.raises(DataError, match="is neither a folder nor an") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("size", "expected"), [(500, 250), (100, 100), (1, 1)])
def test_split_of_labeled_images(size: int, expected: int, few: Splits) -> None:
    """No image is in both parts, classes are alike in both, and few images are halved."""
    sample, held_out = image_folder.split(few.validation, size, 0)
    assert isinstance(sample, Dataset)
    assert isinstance(held_out, Dataset)
    assert (len(sample), len(held_out)) == (expected, 500 - expected)
    both = np.concatenate([sample.images, held_out.images]).reshape(500, -1)
    assert len(np.unique(both, axis=0)) == len(
        np.unique(few.validation.images.reshape(500, -1), axis=0)
    )
    counts = sample.class_counts().values()
    assert max(counts) - min(counts) <= 1
    again, _ = image_folder.split(few.validation, size, 0)
    assert again.digest() == sample.digest()


@pytest.mark.parametrize(("total", "expected"), [(2, 1), (3, 1), (9, 4)])
def test_split_of_few_images(total: int, expected: int, few: Splits) -> None:
    """Each part has an image at least, whatever their number; no image is in both."""
    images = Images("some", few.train.images[:total])
    sample, held_out = image_folder.split(images, 500, 0)
    assert (len(sample), len(held_out)) == (expected, total - expected)
    both = np.concatenate([sample.images, held_out.images])
    assert sorted(map(bytes, both)) == sorted(map(bytes, images.images))
    assert images.digest() != sample.digest() != held_out.digest()


def test_one_image(few: Splits) -> None:
    """One image cannot be split."""
    with pytest.raises(DataError, match="some: one image only; at least two are needed"):
        image_folder.split(Images("some", few.train.images[:1]), 500, 0)


def test_noise() -> None:
    """Random images are those of their seed, on every machine, and use all values."""
    images = image_folder.noise(SPEC, 5, 0)
    assert images.images.shape == (5, *SPEC.shape)
    assert images.images.dtype == np.uint8
    assert len(np.unique(images.images)) == 256
    assert images.images.ravel()[:5].tolist() == [95, 130, 194, 217, 207]
    assert not np.array_equal(images.images, image_folder.noise(SPEC, 5, 1).images)


@pytest.mark.skipif(not PHOTOS.exists(), reason="the photos are not here")
def test_real_photos(tmp_path: Path) -> None:
    """Photos of people's clothes are read, whatever their sizes and colours."""
    for folder in sorted(PHOTOS.iterdir())[:3]:
        shutil.copytree(
            folder,
            tmp_path / folder.name,
            ignore=lambda _, names: sorted(names)[5:],
        )
    images, said = read(tmp_path)
    assert images.images.shape == (15, 20, 24, 3)
    assert list(images.class_counts().values()) == [5, 5, 5]
    assert images.images.std() > 30
    assert not said
