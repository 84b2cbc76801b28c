from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
from PIL import Image

from fmx_runtime.errors import DataError
from fmx_runtime.images.preprocess import to_pixels
from fmx_runtime.labeled_images import UnlabeledImages, read
from fmx_runtime.labeled_images.decode_all import check_unreadable, decode_all, no_progress

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_runtime.model_file.metadata import InputSpec

BROKEN = b"\xff\xd8\xff no image"


def test_results_have_the_index_of_their_file(folder: Path, spec: InputSpec) -> None:
    """Although several threads decode, each result is that of its file; a skipped one is absent."""
    paths = sorted(folder.rglob("*.png"))
    paths[7].write_bytes(BROKEN)
    lines: list[str] = []
    usable = decode_all("pets", paths, spec, min_side=1, report=lines.append, watch=no_progress)
    assert list(usable) == [index for index in range(40) if index != 7]
    for index, pixels in usable.items():
        assert np.array_equal(pixels, to_pixels(paths[index], spec))
    assert len(lines) == 1
    assert f"'{paths[7]}' is damaged" in lines[0]


@pytest.mark.parametrize(
    ("problems", "total", "accepted"),
    [(0, 1, True), (1, 1, False), (1, 2, True), (2, 39, False), (2, 40, True), (3, 40, False)],
)
def test_accepted_number_of_unreadable_images(problems: int, total: int, accepted: bool) -> None:
    """One image may be unreadable, or 5 %, but never all of them."""
    reasons = [f"'{index}.png' is damaged" for index in range(problems)]
    if accepted:
        check_unreadable("pets", reasons, total)
        return
    with pytest.raises(
        DataError, match=rf"^'pets': {problems} of {total} .*: '0\.png' is damaged;"
    ):
        check_unreadable("pets", reasons, total)


def test_too_many_unreadable_images(folder: Path, spec: InputSpec) -> None:
    """More than 5 % of unreadable images are an error that names the first."""
    for index in range(3):
        (folder / f"cat/{index}.png").write_bytes(BROKEN)
    with pytest.raises(DataError, match=r"3 of 40 images cannot be used, more than 5%; the first"):
        read(folder).readable(spec, report=lambda _: None)


def test_one_unreadable_image_of_few(folder: Path, spec: InputSpec) -> None:
    """One unreadable image is skipped in a small folder, too; but not if it is the only one."""
    for name in ("cat", "dog"):
        for index in range(2, 20):
            (folder / name / f"{index}.png").unlink()
    (folder / "cat/0.png").write_bytes(BROKEN)
    assert len(read(folder).readable(spec, report=lambda _: None)) == 3
    alone = UnlabeledImages("alone", [folder / "cat/0.png"])
    with pytest.raises(DataError, match="1 of 1 images cannot be used"):
        alone.readable(spec, report=lambda _: None)


def test_small_images_may_be_refused(folder: Path, spec: InputSpec) -> None:
    """Images below a size are reported like unreadable ones."""
    Image.new("RGB", (1, 1)).save(folder / "cat/0.png")
    lines: list[str] = []
    images = read(folder)
    assert len(images.readable(spec, report=lines.append, min_side=8)) == 39
    assert "cat/0.png' has 1x1 pixels, fewer than 8 in width or height; skipped" in lines[0]
    assert len(images.readable(spec, report=lines.append)) == 40


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_no_skew(channels: Literal[1, 3], suffix: str, spec: InputSpec, tmp_path: Path) -> None:
    """With a smallest size or without, large images become the pixels that the device sees."""
    y, x = np.mgrid[0:900, 0:1200]
    pixels = np.stack([y * x % 256, (y + x) % 256, y // 4 % 256], axis=2).astype(np.uint8)
    path = tmp_path / f"large.{suffix}"
    Image.fromarray(pixels).save(path)
    spec = dataclasses.replace(spec, channels=channels)
    for min_side in (1, 8):
        images = UnlabeledImages("large", [path])
        images = images.readable(spec, report=pytest.fail, min_side=min_side)
        assert np.array_equal(images.pixels(spec)[0], to_pixels(path, spec))
