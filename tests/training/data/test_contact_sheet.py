from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fmx_runtime.errors import DataError, OutputError
from fmx_training.data import contact_sheet
from fmx_training.data.dataset import Dataset

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_training.data.dataset import Splits


def one_color(height: int, width: int, channels: int, per_class: int = 3) -> Dataset:
    """Three classes, each of one color: 40, 120, 200 in every channel."""
    labels = np.repeat(np.arange(3), per_class)
    shape = (3 * per_class, height, width, channels)
    images = np.empty(shape, np.uint8)
    images[...] = np.array([40, 120, 200], np.uint8)[labels].reshape(-1, 1, 1, 1)
    return Dataset("colors", images, labels.astype(np.int64), ("dark", "gray", "light"))


def pixels(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The sheet as an array (h, w, 3)."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def area(sheet: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], value: int) -> int:
    """How many pixels have ``value`` in all three channels."""
    return int(np.count_nonzero((sheet == value).all(axis=2)))


def test_real_images(splits: Splits, tmp_path: Path) -> None:
    """The sheet of the test images holds real images, scaled by a whole number, unblurred."""
    path = tmp_path / "made" / "sheet.png"
    contact_sheet.draw(splits.test, path, columns=4, rows=1, seed=3)
    sheet = pixels(path)
    expected = splits.test.balanced_sample(40, seed=3)
    for label in range(10):
        image = expected.images[np.flatnonzero(expected.labels == label)[0], :, :, 0]
        left = contact_sheet._MARGIN + contact_sheet._LABEL_WIDTH
        top = contact_sheet._MARGIN + contact_sheet._TITLE_HEIGHT + label * (56 + 15)
        drawn = sheet[top : top + 56 : 2, left : left + 56 : 2, 1]
        assert np.array_equal(drawn, image)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("height", "width", "cell"),
    [(28, 28, 56 * 56), (1, 1, 56 * 56), (32, 20, 64 * 40), (90, 160, 32 * 56), (900, 1, 56)],
)
def test_any_size_and_color(
    tmp_path: Path, height: int, width: int, channels: int, cell: int
) -> None:
    """Images of any size and number of channels fill their cells."""
    contact_sheet.draw(one_color(height, width, channels), tmp_path / "a.png", columns=2, rows=2)
    sheet = pixels(tmp_path / "a.png")
    # gray text may have a few pixels of these very values
    for value in (40, 120, 200):
        assert 3 * cell <= area(sheet, value) < 3 * cell + 50


def test_every_class_has_its_name(tmp_path: Path) -> None:
    """The name of each class is beside its images, even if their row is low."""
    contact_sheet.draw(one_color(1, 50, 1), tmp_path / "a.png", columns=3, rows=1)
    words = pixels(tmp_path / "a.png")[:, : contact_sheet._LABEL_WIDTH]
    inked = (words.min(axis=2) < 100).any(axis=1)
    runs = np.count_nonzero(np.diff(inked.astype(np.int8)) == 1)
    assert runs >= 4  # the title and three names


def test_long_names_stay_out_of_the_images(tmp_path: Path) -> None:
    """A class name wider than its column is cut with an ellipsis."""
    dataset = one_color(8, 8, 1)
    long = Dataset(dataset.name, dataset.images, dataset.labels, ("w" * 300, "b", "c"))
    contact_sheet.draw(long, tmp_path / "long.png")
    contact_sheet.draw(dataset, tmp_path / "short.png")
    left = contact_sheet._MARGIN + contact_sheet._LABEL_WIDTH
    expected = pixels(tmp_path / "short.png")[:, left - 2 :]
    assert np.array_equal(pixels(tmp_path / "long.png")[:, left - 2 :], expected)


def test_a_class_without_images_stays_empty(tmp_path: Path) -> None:
    """A class that has no image has its name and nothing beside it."""
    dataset = one_color(8, 8, 1)
    more = Dataset(dataset.name, dataset.images, dataset.labels, ("a", "b", "c", "none"))
    contact_sheet.draw(more, tmp_path / "a.png", columns=3, rows=1)
    assert area(pixels(tmp_path / "a.png"), 40) >= 3 * 56 * 56


def test_the_seed_chooses(splits: Splits, tmp_path: Path) -> None:
    """A seed always gives the same file; another seed shows other images."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        contact_sheet.draw(splits.validation, tmp_path / name, columns=3, rows=1, seed=seed)
    first, again, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == again
    assert first != other


def test_two_channels_are_refused(tmp_path: Path) -> None:
    """Images that are neither gray nor RGB are refused by their number of channels."""
    with pytest.raises(DataError, match=r"1 or 3 channels\. Received: 2"):
        contact_sheet.draw(one_color(4, 4, 2), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("columns", "rows"), [(0, 1), (1, 0), (-1, 1)])
def test_an_empty_sheet_is_refused(tmp_path: Path, columns: int, rows: int) -> None:
    """A sheet without columns or rows is refused."""
    with pytest.raises(DataError, match=f"Received: {columns} and {rows}"):
        contact_sheet.draw(one_color(4, 4, 1), tmp_path / "a.png", columns=columns, rows=rows)


def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    """A file where a folder must be is an OutputError, and stays what it was."""
    in_the_way = tmp_path / "file"
    in_the_way.write_text("mine")
    with pytest.raises(OutputError, match="cannot write to"):
        contact_sheet.draw(one_color(4, 4, 1), in_the_way / "a.png")
    assert in_the_way.read_text() == "mine"


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    """A folder where the file must be is an OutputError, and no temporary file is left."""
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OutputError, match="cannot write to"):
        contact_sheet.draw(one_color(4, 4, 1), tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
