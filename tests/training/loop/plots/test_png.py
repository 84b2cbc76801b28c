"""Figures as PNG files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from matplotlib.figure import Figure
from PIL import Image

from fmx_runtime.errors import OutputError
from fmx_training.loop.plots.png import save_png

if TYPE_CHECKING:
    from pathlib import Path


def test_equal_figures_are_equal_files(tmp_path: Path) -> None:
    """A figure is a PNG file with 150 pixels per inch, reproducible to the byte."""
    for name in "ab":
        save_png(Figure(figsize=(2, 1)), tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert (image.format, image.size) == ("PNG", (300, 150))


def test_missing_folder(tmp_path: Path) -> None:
    """A file that cannot be written is an OutputError that names it."""
    with pytest.raises(OutputError, match=r"missing/plot\.png"):
        save_png(Figure(), tmp_path / "missing" / "plot.png")
