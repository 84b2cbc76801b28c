from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fmx_runtime.errors import DataError
from fmx_runtime.labeled_images import LabeledImages, UnlabeledImages, read, read_splits, save

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ZEROS = np.zeros((2, 8, 8), np.uint8)


@pytest.mark.parametrize("axes", [3, 4])
def test_images_and_labels(axes: int, tmp_path: Path) -> None:
    """Gray images may lack the axis of channels; labels may be integers of any type."""
    images = np.random.default_rng(0).integers(0, 256, (5, 9, 7, 1), np.uint8)
    labels = np.array([0, 2, 1, 0, 0], np.uint8)
    path = tmp_path / "some.npz"
    np.savez(path, images=images if axes == 4 else images[..., 0], labels=labels)
    found = read(path)
    assert isinstance(found, LabeledImages)
    assert (found.name, found.class_names) == ("some", ())
    assert np.array_equal(np.asarray(found.images), images)
    assert found.labels.dtype == np.int64
    assert found.labels.tolist() == labels.tolist()


def test_images_without_labels(tmp_path: Path) -> None:
    """Images alone are unlabeled; a benchmark needs labels."""
    path = tmp_path / "some.npz"
    np.savez(path, images=ZEROS)
    assert isinstance(read_splits(path)["all"], UnlabeledImages)
    with pytest.raises(DataError, match="has no array 'labels'"):
        read(path)


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    """Name, images, labels and class names survive."""
    images = LabeledImages("the name", ZEROS[..., None], np.array([1, 0]), ("T-shirt/top", "Bag"))
    save(images, tmp_path / "x.npz")
    found = read(tmp_path / "x.npz")
    assert (found.name, found.class_names) == ("the name", ("T-shirt/top", "Bag"))
    assert found.sha256 == images.sha256


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": ZEROS}, "has no array 'images'"),
        ({"images": ZEROS / 255}, r"values 0 to 255. Received: float64 \(2, 8, 8\)"),
        ({"images": ZEROS[0]}, r"Received: uint8 \(8, 8\)"),
        ({"images": ZEROS[..., None, None]}, r"Received: uint8 \(2, 8, 8, 1, 1\)"),
        ({"images": np.zeros((2, 8, 8, 4), np.uint8)}, r"Received: uint8 \(2, 8, 8, 4\)"),
        ({"images": ZEROS[:0]}, r"has no images. Received: uint8 \(0, 8, 8\)"),
        ({"images": ZEROS, "labels": np.array([1])}, r"integers \(2,\).*Received: int64 \(1,\)"),
        ({"images": ZEROS, "labels": np.array([[1], [0]])}, r"Received: int64 \(2, 1\)"),
        ({"images": ZEROS, "labels": np.array(["a", "b"])}, r"Received: <U1 \(2,\)"),
        ({"images": ZEROS, "labels": np.array([0.5, 1])}, r"Received: float64 \(2,\)"),
        ({"images": ZEROS, "labels": np.array([-1, 0])}, "go from -1 to 0"),
        (
            {"images": ZEROS, "labels": np.array([0, 3]), "class_names": np.array(["a", "b"])},
            "go from 0 to 3; its 2 classes are 0 to 1",
        ),
        (
            {"images": ZEROS, "labels": np.array([0, 1]), "class_names": np.array(["a", "a"])},
            "two classes have the same name",
        ),
        ({"images": np.array([ZEROS, None], object)}, r"cannot be read \(Object arrays cannot be"),
    ],
)
def test_arrays_that_do_not_fit(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Any other arrays are refused with what was expected and what was received."""
    path = tmp_path / "some.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=message) as caught:
        read_splits(path)
    assert str(caught.value).startswith(f"'{path}'")
    assert "\n" not in str(caught.value)


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
    with pytest.raises(DataError, match=r"some\.npz' cannot be read \(.*; give an .npz") as caught:
        read(path)
    assert "\n" not in str(caught.value)
