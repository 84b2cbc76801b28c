"""The screenshot of a page."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_png(run_tool: Callable[..., str], tmp_path: Path) -> None:
    """The image shows the page at the size of a window, with few colors."""
    if shutil.which("chromium") is None:
        pytest.skip("the tool needs chromium")
    (tmp_path / "page.html").write_text("<body style='background:#336699'>", "utf-8")
    run_tool("screenshot", "page.html", "images/page.png")
    with Image.open(tmp_path / "images/page.png") as image:
        assert (image.format, image.mode, image.size) == ("PNG", "P", (1240, 640))
        assert image.convert("RGB").getpixel((600, 300)) == (0x33, 0x66, 0x99)
