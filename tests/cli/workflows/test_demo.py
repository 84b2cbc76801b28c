"""The images that ``fmx demo`` writes for fmx-run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fmx_cli.workflows.demo import _write_images

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from fmx_training.data.dataset import Splits


def test_images(splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first test image of each class is a PNG file that is named after the class."""
    monkeypatch.chdir(tmp_path)
    folder = _write_images(splits.test)
    assert str(folder) == "demo/images"
    assert len(list(folder.iterdir())) == 10
    for stem, label in (("t-shirt-top", 0), ("sandal", 5), ("ankle-boot", 9)):
        with Image.open(folder / f"{stem}.png") as image:
            assert image.format == "PNG"
            expected = splits.test.images[splits.test.labels == label][0, :, :, 0]
            assert np.array_equal(np.asarray(image), expected)
