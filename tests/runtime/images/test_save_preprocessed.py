from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fmx_runtime.errors import ImageError, OutputError
from fmx_runtime.images.preprocess import to_pixels
from fmx_runtime.images.save_preprocessed import save_preprocessed
from fmx_runtime.model_file.metadata import InputSpec

if TYPE_CHECKING:
    from pathlib import Path

GRAY = InputSpec(
    height=20, width=30, channels=1, scale=1, offset=0, resize="fit", polarity="light-on-dark"
)
RGB = InputSpec(
    height=20, width=30, channels=3, scale=1, offset=0, resize="stretch", polarity="any"
)


@pytest.mark.parametrize("spec", [GRAY, RGB])
def test_pixels_are_those_of_the_network(spec: InputSpec, tmp_path: Path) -> None:
    """The file holds the pixels of the network's input, and replaces an existing file."""
    chance = np.random.default_rng(0)
    for _ in range(2):
        image = Image.fromarray(chance.integers(0, 255, (90, 50, 3), np.uint8))
        save_preprocessed(image, spec, tmp_path / "seen.png")
        with Image.open(tmp_path / "seen.png") as seen:
            pixels = np.asarray(seen).reshape(spec.shape)
        assert np.array_equal(pixels, to_pixels(image, spec))


def test_nothing_is_written_on_errors(tmp_path: Path) -> None:
    """No file is written for a bad image, into a missing folder, or over the image itself."""
    image = tmp_path / "a.png"
    Image.new("L", (50, 50)).save(image)
    content = image.read_bytes()
    with pytest.raises(ImageError):
        save_preprocessed(b"no image", GRAY, tmp_path / "seen.png")
    with pytest.raises(OutputError, match=r"folder '.*gone' does not exist"):
        save_preprocessed(image, GRAY, tmp_path / "gone" / "seen.png")
    (tmp_path / "link.png").symlink_to(image)
    for path in (image, tmp_path / "link.png"):
        with pytest.raises(OutputError, match="is the image itself"):
            save_preprocessed(image, GRAY, path)
    assert image.read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "link.png"]
