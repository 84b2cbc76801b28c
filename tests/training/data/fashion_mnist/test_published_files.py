from __future__ import annotations

import gzip
import hashlib
import struct
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_training.data import fashion_mnist
from fmx_training.data.fashion_mnist.published_files import CLASS_NAMES, FILES, SHAPE

if TYPE_CHECKING:
    from fmx_training.data.dataset import Splits
    from fmx_training.data.fashion_mnist.idx import IdxFile


@pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])
def test_checksums_and_shapes(file: IdxFile, found: fashion_mnist.Found) -> None:
    """Each real file has the stated SHA-256, and its header has the stated shape."""
    path = file.in_folder(found.folder)
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    assert hashlib.sha256(content).hexdigest() == file.sha256
    axes = len(file.shape)
    unsigned_bytes = 8
    header = struct.pack(f">HBB{axes}I", 0, unsigned_bytes, axes, *file.shape)
    assert content.startswith(header)
    assert len(content) == len(header) + prod(file.shape)


def test_order_of_the_files() -> None:
    """Images and labels alternate, the training images first; both parts have equal counts."""
    assert [file.name.split("-")[:2] for file in FILES] == [
        ["train", "images"],
        ["train", "labels"],
        ["t10k", "images"],
        ["t10k", "labels"],
    ]
    for images, labels in zip(FILES[::2], FILES[1::2], strict=True):
        assert images.shape[1:] == SHAPE[:2]
        assert images.shape[:1] == labels.shape


def test_class_names(splits: Splits) -> None:
    """There is one name for each label, from 0 to 9."""
    assert np.unique(splits.test.labels).tolist() == list(range(len(set(CLASS_NAMES))))


def test_images_are_light_on_dark(splits: Splits) -> None:
    """The stated polarity is that of the images: their corners are black."""
    assert fashion_mnist.POLARITY == "light-on-dark"
    assert fashion_mnist.SUBJECT == "garment"
    assert np.median(splits.train.images[:, 0, 0]) == 0
    assert splits.train.images.mean() > 50
