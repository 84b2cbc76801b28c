from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

from fmx_training.data import fashion_mnist
from fmx_training.data.fashion_mnist.published_files import FILES

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_training.data.dataset import Splits

NAMES = [file.name for file in FILES]


def test_sizes_shapes_and_classes(splits: Splits) -> None:
    """55,000, 5,000 and 10,000 gray images 28x28, and the classes equal in each part."""
    for part, name, each in (
        (splits.train, "train", 5_500),
        (splits.validation, "validation", 500),
        (splits.test, "test", 1_000),
    ):
        assert part.name == f"fashion-mnist {name}"
        assert part.images.shape == (10 * each, 28, 28, 1)
        assert part.class_counts() == dict.fromkeys(fashion_mnist.CLASS_NAMES, each)


def test_the_first_images_are_the_published_ones(splits: Splits) -> None:
    """The test images come in published order: ankle boot, pullover, trouser, trouser, shirt."""
    names = [fashion_mnist.CLASS_NAMES[label] for label in splits.test.labels[:5]]
    assert names == ["Ankle boot", "Pullover", "Trouser", "Trouser", "Shirt"]


def test_the_parts_are_pinned(splits: Splits) -> None:
    """The validation images are the same ones on every machine and in every version."""
    assert splits.train.digest() == (
        "fb3fb28141c26c113708c4c76350f68375a9581f3529dea6c8cf1453bcadf1a1"
    )
    assert splits.validation.digest() == (
        "637746c5956861590ebc92b74e65aa2c0df5ecae6bc0145a3f096b0324d77ae4"
    )
    assert splits.test.digest() == (
        "85ae2febfd2859d87a91eea2a3496ce29716e3962cff2591a7081a39e99810a1"
    )


def test_describe(found: fashion_mnist.Found) -> None:
    """The description has the folder, the four files with sizes and digests, and the counts."""
    facts = fashion_mnist.describe(found)
    assert (facts.folder, facts.how) == (found.folder, found.how)
    assert [file.path.name.removesuffix(".gz") for file in facts.files] == NAMES
    assert [file.sha256 for file in facts.files] == [file.sha256 for file in FILES]
    assert [file.size_bytes for file in facts.files] == [f.path.stat().st_size for f in facts.files]
    assert facts.train_counts == dict.fromkeys(fashion_mnist.CLASS_NAMES, 6_000)
    assert facts.test_counts == dict.fromkeys(fashion_mnist.CLASS_NAMES, 1_000)


def test_unpacked_files_are_read_too(splits: Splits, copied: Path) -> None:
    """Files without .gz, or some with and some without, are the same data."""
    for file in FILES[:3]:
        packed = file.in_folder(copied)
        (copied / file.name).write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    assert fashion_mnist.load(copied).train.digest() == splits.train.digest()
