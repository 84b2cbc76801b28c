"""The accuracy on photos, with and without garment segmentation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fmx_training.data.clothing_photos import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fmx_training.data.dataset import Splits


@pytest.fixture
def photos(splits: Splits, tmp_path: Path) -> Path:
    """Three test images of each kind of garment, enlarged, in black on white."""
    test, folder = splits.test, tmp_path / "photos"
    for kind, labels in KINDS.items():
        (folder / kind).mkdir(parents=True)
        chosen = np.flatnonzero(test.labels == test.class_names.index(labels[0]))[:3]
        for index in chosen:
            image = Image.fromarray(255 - test.images[index, ..., 0]).resize((140, 140))
            image.save(folder / kind / f"{index}.png")
    return folder


def test_table(run_tool: Callable[..., str], export_folder: Path, photos: Path) -> None:
    """There is a row for each kind with its number of photos, and their mean."""
    output = run_tool("photo_accuracy", export_folder / "baseline.int8.tflite", photos)
    rows = re.findall(r"^\| (\S+) \| 3 \| ([\d.]+)% \| ([\d.]+)% \|$", output, re.MULTILINE)
    assert [kind for kind, _, _ in rows] == list(KINDS)
    mean = re.search(
        r"^\| \*mean of the kinds\* \|  \| ([\d.]+)% \| ([\d.]+)% \|$", output, re.MULTILINE
    )
    assert mean is not None
    for column in (1, 2):
        values = [float(row[column]) for row in rows]
        assert float(mean[column]) == pytest.approx(np.mean(values), abs=0.1)
    assert float(mean[2]) > 20  # far better than chance
