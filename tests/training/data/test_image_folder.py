from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from fmx_runtime.errors import DataError
from fmx_runtime.model_file.metadata import InputSpec
from fmx_training.data.image_folder import read
from fmx_training.data.training_examples import from_unbalanced_dataset

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fmx_training.data.dataset import Splits

SPEC = InputSpec(
    height=16, width=16, channels=3, scale=1 / 255, offset=0.0, resize="fit", polarity="any"
)


def draw(folder: Path, count: int, *, seed: int = 0, mode: str = "RGB", side: int = 24) -> None:
    """Images of random pixels: 0.png, 1.png and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for index in range(count):
        shape = (side, side) if mode == "L" else (side, side, 3)
        pixels = random.integers(0, 256, shape, np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")


def no_progress(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
    """Show no progress."""
    assert total > 0
    assert what == "images"
    return items


def load(
    folder: Path, reported: list[str] | None = None, **options: Any
) -> tuple[Splits, InputSpec]:
    """Read the images with seed 0; reported lines are appended to ``reported``."""
    lines = [] if reported is None else reported
    return read(
        folder, SPEC, options.pop("seed", 0), watch=no_progress, report=lines.append, **options
    )


def rows(splits: Splits) -> list[set[bytes]]:
    """The images of each part."""
    parts = (splits.train, splits.validation, splits.test)
    return [{image.tobytes() for image in part.images} for part in parts]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A hundred images of each of two classes, and nothing set apart."""
    draw(tmp_path / "train/dog", 100, seed=1)
    draw(tmp_path / "train/cat", 100, seed=2)
    return tmp_path


def test_missing_splits_are_split_off(folder: Path) -> None:
    """Each has about a tenth; every image is in one split; classes are sorted by name."""
    splits, spec = load(folder)
    assert spec == SPEC
    assert splits.train.class_names == ("cat", "dog")
    assert splits.train.images.shape[1:] == (16, 16, 3)
    train, validation, test = rows(splits)
    assert len(train) + len(validation) + len(test) == 200
    assert not train & validation
    assert not (train | validation) & test
    assert 10 <= len(validation) <= 32
    assert 10 <= len(test) <= 32


def test_images_stay_in_their_split(folder: Path) -> None:
    """Added or renamed images move no image to another split; another seed splits anew."""
    before = rows(load(folder)[0])
    assert rows(load(folder, seed=1)[0]) != before
    draw(folder / "train/cat", 50, seed=3)  # replaces fifty
    (folder / "train/dog/0.png").rename(folder / "train/dog/renamed.png")
    draw(folder / "train/dog/more", 30, seed=4)
    after = rows(load(folder)[0])
    for number, part in enumerate(before):
        for other in {0, 1, 2} - {number}:
            assert not part & after[other]


def test_given_splits_are_kept(folder: Path) -> None:
    """Splits of the user are not changed; only missing ones are split off."""
    draw(folder / "validation/dog", 7, seed=5)
    draw(folder / "validation/cat", 5, seed=6)
    splits, _ = load(folder)
    assert len(splits.validation) == 12
    assert len(splits.train) + len(splits.test) == 200
    draw(folder / "test/dog", 3, seed=7)
    draw(folder / "test/cat", 3, seed=8)
    splits, _ = load(folder)
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [200, 12, 6]


def test_a_folder_of_classes(folder: Path) -> None:
    """Without split folders, all images are training images before the split."""
    splits, _ = load(folder / "train")
    assert rows(splits) == rows(load(folder)[0])


def test_duplicates_are_left_out(folder: Path) -> None:
    """Equal files are used once, and an image equal to a test image is not trained on."""
    shutil.copy(folder / "train/dog/3.png", folder / "train/dog/copy.png")
    for name in ("dog", "cat"):
        draw(folder / "test" / name, 4, seed=9 + len(name) * (name == "cat"))
    shutil.copy(folder / "train/cat/5.png", folder / "test/cat/known.png")
    reported: list[str] = []
    splits, _ = load(folder, reported)
    same = [line for line in reported if "is the same image as" in line]
    assert len(same) == 2
    assert "copy.png" in same[0]
    assert "train/cat/5.png" in same[1]
    train, validation, test = rows(splits)
    assert not (train | validation) & test


def test_one_image_in_two_classes_is_refused(folder: Path) -> None:
    """One of the two is wrong, and only the user knows which."""
    shutil.copy(folder / "train/dog/3.png", folder / "train/cat/copy.png")
    with pytest.raises(DataError, match=r"are the same image in two classes; delete one"):
        load(folder)


def test_gray_images_make_a_gray_network(tmp_path: Path) -> None:
    """The input has one channel if all images are gray, also as RGB; three on request."""
    draw(tmp_path / "a", 40, mode="L")
    draw(tmp_path / "b", 40, mode="L", seed=1)
    image = Image.open(tmp_path / "b/3.png").convert("RGB")
    image.save(tmp_path / "b/3.png")
    splits, spec = load(tmp_path)
    assert spec.channels == splits.train.images.shape[3] == 1
    assert load(tmp_path, gray=False)[1].channels == 3
    draw(tmp_path / "b", 1, seed=2)
    assert load(tmp_path)[1].channels == 3


def test_unreadable_files_are_listed(folder: Path) -> None:
    """A few are skipped with a line each; too many are an error."""
    (folder / "train/cat/broken.jpg").write_bytes(b"\xff\xd8\xff no image")
    Image.new("RGB", (1, 1)).save(folder / "train/cat/dot.png")
    (folder / "train/cat/notes.txt").write_text("no image at all", "utf-8")
    reported: list[str] = []
    splits, _ = load(folder, reported)
    assert sum(map(len, rows(splits))) == 200
    left_out = [line for line in reported if line.endswith("skipped")]
    assert len(left_out) == 2
    assert "broken.jpg" in left_out[0]
    assert "dot.png' has 1x1 pixels, fewer than 8 in width or height" in left_out[1]
    for index in range(1, 22):
        Image.new("RGB", (1, 1), (index, 0, 0)).save(folder / f"train/cat/dot{index}.png")
    with pytest.raises(
        DataError, match=r"23 of 223 images cannot be used, more than 5%; the first"
    ):
        load(folder)


def test_unbalanced_classes_are_reported_and_weighted(folder: Path) -> None:
    """The weight grows with the square root of the rarity; the mean weight is 1."""
    draw(folder / "train/rare", 12, seed=11)
    reported: list[str] = []
    splits, _ = load(folder, reported)
    assert any(
        line.startswith("classes are unbalanced: ") and "'rare'" in line for line in reported
    )
    examples = from_unbalanced_dataset(splits.train)
    assert examples.weights is not None
    assert np.isclose(examples.weights.mean(), 1, atol=1e-5)
    counts = np.bincount(splits.train.labels)
    by_class = [examples.weights[splits.train.labels == label][0] for label in range(3)]
    assert np.isclose(by_class[2] / by_class[0], np.sqrt(counts[0] / counts[2]), rtol=1e-4)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({}, r"has no class folders; put the images of each class into a folder"),
        ({"cat": 30}, r"has one class only, 'cat'; a classifier needs two or more"),
        ({"cat": 30, "dog": 0}, r"class 'dog' has 0 usable images; at least 3 are needed"),
        ({"cat": 30, "dog": 1}, r"class 'dog' has 1 usable images; at least 3 are needed"),
        ({"a": 1, "b": 1, "c": 1, "d": 1}, r"class 'a' has 1 usable images; at least 3"),
    ],
)
def test_too_few_images(classes: dict[str, int], message: str, tmp_path: Path) -> None:
    """One class, an empty class and a class with few images are errors of one line."""
    (tmp_path / "train").mkdir()
    for number, (name, count) in enumerate(classes.items()):
        draw(tmp_path / "train" / name, count, seed=number)
    with pytest.raises(DataError, match=message) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("train/cat", "train/dog", "birds"), r"has both splits \('train'\) and other folders"),
        (("train/cat", "train/dog", "Training/cat"), "are both train images"),
        (("test/cat", "test/dog"), "has test images, but no training images; put some into"),
        (("",), "has images without labels; put the images of each class into a folder"),
        (("train",), "train' has no class folders; put the images of each class into a folder"),
    ],
)
def test_layouts_that_are_refused(folders: tuple[str, ...], message: str, tmp_path: Path) -> None:
    """What would be misunderstood is an error of one line."""
    for seed, folder in enumerate(folders):
        draw(tmp_path / folder, 8, seed=seed)
    with pytest.raises(DataError, match=message) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("names", [("training", "val", "testing"), ("Train", "Valid", "TEST")])
def test_other_names_of_splits(names: tuple[str, str, str], tmp_path: Path) -> None:
    """A split may have any of its usual names; none is taken for a class."""
    for number, name in enumerate(names):
        for label in ("cat", "dog"):
            draw(tmp_path / name / label, 5 - number, seed=10 * number + len(label) + ord(label[0]))
    splits, _ = load(tmp_path)
    assert splits.train.class_names == ("cat", "dog")
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [10, 8, 6]
    assert splits.validation.name == f"{tmp_path.name} validation"


def test_arrays(tmp_path: Path) -> None:
    """An .npz file is read like a folder; classes without names get numbers."""
    images = np.random.default_rng(0).integers(0, 256, (90, 20, 20, 3), np.uint8)
    np.savez(tmp_path / "mine.npz", images=images, labels=np.arange(90) % 3)
    splits, spec = load(tmp_path / "mine.npz")
    assert spec == SPEC
    assert splits.train.class_names == ("class-0", "class-1", "class-2")
    assert sum(map(len, rows(splits))) == 90


def test_a_class_without_validation_images_is_reported(tmp_path: Path) -> None:
    """With few images chance may leave a class without any in a split; the run goes on."""
    draw(tmp_path / "cat", 60, seed=1)
    draw(tmp_path / "dog", 60, seed=2)
    draw(tmp_path / "fish", 4, seed=3)
    lines: list[str] = []
    splits, _ = load(tmp_path, lines)
    counts = splits.validation.class_counts()
    assert counts["fish"] == 0
    assert min(counts["cat"], counts["dog"]) > 0
    (line,) = (line for line in lines if line.startswith("no validation images of fish: "))
    assert f"'{tmp_path / 'test'}', or choose another seed" in line


def test_a_split_without_images_is_refused(tmp_path: Path) -> None:
    """Where chance leaves a split empty, the error says how to go on."""
    draw(tmp_path / "train/cat", 3, seed=1)
    draw(tmp_path / "train/dog", 3, seed=2)
    with pytest.raises(DataError, match=r"by chance, none of .* images is a .* image; add im"):
        load(tmp_path)
    for split, seed in (("validation", 3), ("test", 5)):
        for number, name in enumerate(("cat", "dog")):
            draw(tmp_path / split / name, 1, seed=seed + number)
    splits, _ = load(tmp_path)
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [6, 2, 2]


def test_an_unknown_class_in_the_test_split(folder: Path) -> None:
    """A class without training images is an error, not numbered wrongly."""
    draw(folder / "test/bird", 3)
    with pytest.raises(DataError, match=r"the training images have no class 'bird'"):
        load(folder)


def test_no_such_folder(tmp_path: Path) -> None:
    """A missing folder is an error with a remedy."""
    with pytest.raises(DataError, match=r"does not exist; give a folder or an"):
        load(tmp_path / "gone")
