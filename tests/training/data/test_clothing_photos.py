from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from fmx_runtime.errors import DataError
from fmx_runtime.images.preprocess import to_pixels
from fmx_training import recipes
from fmx_training import run_folder as runs
from fmx_training.data import clothing_photos, fashion_mnist

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fmx_training.data.training_examples import Examples

LABELS = fashion_mnist.CLASS_NAMES
SPEC = runs.input_spec(
    recipes.get("edge"),
    fashion_mnist.SHAPE,
    polarity=fashion_mnist.POLARITY,
    subject=fashion_mnist.SUBJECT,
)


def no_progress(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
    """Show no progress."""
    assert total > 0
    assert what == "photos"
    return items


def load(folder: Path, reported: list[str] | None = None) -> Examples:
    """Return the photos; reported lines are appended to ``reported``."""
    lines = [] if reported is None else reported
    return clothing_photos.read(folder, SPEC, LABELS, watch=no_progress, report=lines.append)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A red thing on a grainy floor, three times as trousers and twice as shoes."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for kind, count in (("pants", 3), ("shoes", 2), ("hat", 1)):
        (folder / kind).mkdir()
        for index in range(count):
            pixels = random.normal(150, 12, (160, 120, 3))
            pixels[30:140, 40 - 5 * index : 80] = (170, 40, 50)
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(folder / kind / f"{index}.jpg", quality=95)
    return folder


def test_each_photo_gives_several_examples(folder: Path) -> None:
    """The first is what fmx-run sees, the others differ; all show the garment alone on black."""
    examples = load(folder)
    assert examples.images.shape == (20, 28, 28, 1)
    paths = [folder / "pants" / f"{index}.jpg" for index in range(3)]
    for index, path in enumerate(paths):
        assert np.array_equal(
            examples.images[4 * index], to_pixels(path, SPEC, segment_garment=True)
        )
    assert len({image.tobytes() for image in examples.images}) == 20
    assert (examples.images[:, :, :3] == 0).mean() > 0.9
    assert (examples.images[:, 12:16, 12:16] > 60).mean() > 0.9


def test_targets(folder: Path) -> None:
    """Shoes may be one of three classes, with equal shares; folders of other kinds are ignored."""
    targets = load(folder).targets
    assert np.allclose(targets.sum(axis=1), 1)
    assert {LABELS[index] for index in np.flatnonzero(targets[0])} == {"Trouser"}
    assert {LABELS[index] for index in np.flatnonzero(targets[-1])} == {
        "Sandal",
        "Sneaker",
        "Ankle boot",
    }
    assert np.unique(targets[-1]).size == 2


def test_copies_depend_on_the_content(folder: Path) -> None:
    """The changes of a photo depend on its content, not on its name or on other photos."""
    before = load(folder)
    (folder / "pants/0.jpg").rename(folder / "pants/9.jpg")
    try:
        after = load(folder)
    finally:
        (folder / "pants/9.jpg").rename(folder / "pants/0.jpg")
    assert np.array_equal(after.images[8:12], before.images[:4])
    assert before.sha256 != after.sha256


def test_unreadable_photos_are_skipped(folder: Path) -> None:
    """Each unreadable photo is reported in one line."""
    broken = folder / "pants/broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff no image")
    reported: list[str] = []
    try:
        assert len(load(folder, reported)) == 20
    finally:
        broken.unlink()
    assert len(reported) == 1
    assert "broken.jpg" in reported[0]
    assert reported[0].endswith("; skipped")


def test_other_folders_are_refused(tmp_path: Path) -> None:
    """A folder without known kinds, or a kind without photos, is an error of one line."""
    with pytest.raises(DataError, match=r"has none of the folders dress, longsleeve"):
        load(tmp_path)
    (tmp_path / "shirt").mkdir()
    with pytest.raises(DataError, match=r"shirt' has no photos; add some"):
        load(tmp_path)
