"""Folders of images for the tests of the reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fmx_runtime.model_file.metadata import InputSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def draw() -> Callable[..., None]:
    """Write images of random pixels: ``draw(folder, count, seed=…)`` makes 0.png, 1.png, …."""

    def draw(folder: Path, count: int = 2, *, seed: int = 0, side: int = 12) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(seed)
        for index in range(count):
            pixels = random.integers(0, 256, (side, side, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")

    return draw


@pytest.fixture
def spec() -> InputSpec:
    """An RGB input of 10x8 pixels."""
    return InputSpec(
        height=8, width=10, channels=3, scale=1, offset=0, resize="stretch", polarity="any"
    )


@pytest.fixture
def folder(draw: Callable[..., None], tmp_path: Path) -> Path:
    """Twenty images of each of two classes."""
    draw(tmp_path / "pets/dog", 20, seed=1)
    draw(tmp_path / "pets/cat", 20, seed=2)
    return tmp_path / "pets"
