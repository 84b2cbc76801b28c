from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fmx_runtime.errors import DataError, ImageError
from fmx_runtime.images.preprocess import to_pixels
from fmx_runtime.labeled_images import LabeledImages, UnlabeledImages, read

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fmx_runtime.model_file.metadata import InputSpec

BROKEN = b"\xff\xd8\xff no image"


def test_unreadable_images_are_skipped(folder: Path, spec: InputSpec) -> None:
    """A few unreadable images are reported and left out with their labels."""
    (folder / "cat/3.png").write_bytes(BROKEN)
    (folder / "dog/3.png").write_bytes(BROKEN)
    lines: list[str] = []
    watched: list[tuple[int, str]] = []

    def watch(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
        watched.append((total, what))
        return items

    images = read(folder).readable(spec, report=lines.append, watch=watch)
    assert watched == [(40, "images")]
    assert len(images) == len(images.labels) == len(images.pixels(spec)) == 38
    assert images.labels.tolist() == [0] * 19 + [1] * 19
    assert [line.endswith("; skipped") for line in lines] == [True, True]
    assert "cat/3.png' is damaged" in lines[0]
    assert "dog/3.png' is damaged" in lines[1]
    assert np.array_equal(images.pixels(spec)[30], to_pixels(str(images.images[30]), spec))


def test_pixels_are_decoded_once(folder: Path, spec: InputSpec) -> None:
    """After `readable`, the files are not opened again for the same preprocessing."""
    images = read(folder).readable(spec, report=lambda _: None)
    before = images.pixels(spec)
    chosen = images.take([5, 30])
    (folder / "cat/5.png").write_bytes(BROKEN)
    assert images.pixels(spec) is before
    assert np.array_equal(chosen.pixels(spec), before[[5, 30]])
    other = dataclasses.replace(spec, resize="fit")
    with pytest.raises(ImageError, match=r"5\.png' is damaged"):
        images.pixels(other)
    # what only the tensor depends on makes no difference
    assert images.pixels(dataclasses.replace(spec, scale=0.5, dtype="uint8")) is before


def test_arrays_are_always_readable(spec: InputSpec) -> None:
    """Images in an array are resized, or taken as they are if they have the size."""
    array = np.random.default_rng(0).integers(0, 256, (3, 20, 20, 3), np.uint8)
    images = LabeledImages("array", array, np.array([0, 1, 0]), ("a", "b"))
    readable = images.readable(spec, report=pytest.fail)
    assert np.array_equal(readable.pixels(spec)[1], to_pixels(array[1], spec))
    exact = UnlabeledImages("exact", array[:, :8, :10])
    assert exact.pixels(spec) is exact.images


def test_take(spec: InputSpec) -> None:
    """A selection keeps the order of the indices, and the labels of the images."""
    array = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 10, 3), np.uint8)
    images = LabeledImages("array", array, np.array([3, 2, 1, 0]), tuple("abcd"))
    taken = images.take([2, 0])
    assert isinstance(taken, LabeledImages)
    assert taken.labels.tolist() == [1, 3]
    assert taken.pixels(spec)[:, 0, 0, 0].tolist() == [2, 0]
    assert UnlabeledImages("array", array).take([1]).labels is None


def test_content_hashes(folder: Path) -> None:
    """Hashes depend on the salt and the content, not on names and places."""
    images = read(folder)
    hashes = images.content_hashes(b"salt")
    content = (folder / "cat/0.png").read_bytes()
    assert hashes[0] == hashlib.sha256(b"salt" + content).digest()
    assert len(set(hashes)) == 40
    assert images.content_hashes() != hashes
    (folder / "cat/0.png").rename(folder / "cat/renamed.png")
    assert set(read(folder).content_hashes(b"salt")) == set(hashes)
    with pytest.raises(ImageError, match=r"0\.png' cannot be read: No such file"):
        images.content_hashes()


def test_content_hashes_of_arrays() -> None:
    """Equal pixels in another shape are another image."""
    flat = UnlabeledImages("flat", np.zeros((2, 2, 8, 1), np.uint8)).content_hashes()
    square = UnlabeledImages("square", np.zeros((1, 4, 4, 1), np.uint8)).content_hashes()
    assert flat[0] == flat[1] != square[0]


def test_sha256(folder: Path) -> None:
    """The checksum is that of images and labels."""
    images = read(folder)
    assert images.sha256 == read(folder).sha256
    assert images.sha256 != dataclasses.replace(images, labels=1 - images.labels).sha256
    assert images.sha256 != images.take(range(39)).sha256


def test_labels_without_names_get_those_of_the_model() -> None:
    """Arrays without class names take the model's, if their numbers are in range."""
    images = LabeledImages("x", np.zeros((2, 8, 8, 1), np.uint8), np.array([0, 2]), ())
    assert images.with_class_names(("a", "b", "c")).class_names == ("a", "b", "c")
    with pytest.raises(DataError, match="labels go from 0 to 2; the model's 2 classes are 0 to 1"):
        images.with_class_names(("a", "b"))


def test_names_of_arrays_are_reordered() -> None:
    """Arrays with class names are numbered as the model numbers its labels."""
    images = LabeledImages("x", np.zeros((3, 8, 8, 1), np.uint8), np.array([0, 1, 2]), tuple("abc"))
    ordered = images.with_class_names(("c", "a", "b"))
    assert ordered.labels.tolist() == [1, 2, 0]
    assert ordered.class_names == ("c", "a", "b")
