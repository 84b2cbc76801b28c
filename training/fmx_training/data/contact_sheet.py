"""A data set at a glance: some images of each class on one sheet, drawn with Pillow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fmx_runtime.errors import DataError
from fmx_runtime.support.atomic import make_folder, replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmx_training.data.dataset import Dataset

__all__ = ["draw"]

_CELL = 56  # pixels of an image's longer side, at least; small images grow by whole numbers
_GAP, _CLASS_GAP, _MARGIN = 3, 15, 28
_LABEL_WIDTH, _LABEL_HEIGHT = 190, 42
_TITLE_HEIGHT = 62
_GROUND, _INK, _FAINT_INK = "#f7f6f3", "#1d1d1f", "#8a8a8e"
_CHANNELS = {1: "L", 3: "RGB"}

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class _Layout:
    """Where things stand on the sheet, in pixels."""

    cell: tuple[int, int]  # width, height
    columns: int
    rows: int  # of each class
    classes: int

    @property
    def size(self) -> tuple[int, int]:
        width = _LABEL_WIDTH + self.columns * (self.cell[0] + _GAP) - _GAP
        height = _TITLE_HEIGHT + self.classes * self.band - _CLASS_GAP
        return width + 2 * _MARGIN, height + 2 * _MARGIN

    @property
    def band(self) -> int:
        """From one class's top to the next one's."""
        images = self.rows * (self.cell[1] + _GAP) - _GAP
        return max(images, _LABEL_HEIGHT) + _CLASS_GAP

    def top(self, label: int) -> int:
        return _MARGIN + _TITLE_HEIGHT + label * self.band

    def corner(self, label: int, position: int) -> tuple[int, int]:
        """Left and top of a class's image number ``position``."""
        row, column = divmod(position, self.columns)
        left = _MARGIN + _LABEL_WIDTH + column * (self.cell[0] + _GAP)
        return left, self.top(label) + row * (self.cell[1] + _GAP)


def draw(
    dataset: Dataset, path: Path | str, *, columns: int = 16, rows: int = 2, seed: int = 0
) -> None:
    """Write a sheet with ``rows`` times ``columns`` images of each class, and its name.

    Args:
        dataset: gray or RGB images of any size.
        path: the PNG file; its folder is made if need be.
        columns: images side by side, 1 or more.
        rows: lines of images for each class, 1 or more.
        seed: chooses the images, 0 or more.

    Raises:
        DataError: the images are neither gray nor RGB, or an option is out of range.
        OutputError: the file cannot be written; what stood there before is untouched.
    """
    height, width, channels = dataset.images.shape[1:]
    if channels not in _CHANNELS:
        raise DataError(
            f"{dataset.name}: a contact sheet shows images of 1 or 3 channels; these have "
            f"{channels}"
        )
    if columns < 1 or rows < 1:
        raise DataError(
            f"a contact sheet has 1 or more columns and rows; received {columns} and {rows}"
        )
    layout = _Layout(_cell_size(width, height), columns, rows, len(dataset.class_names))
    sheet = Image.new("RGB", layout.size, _GROUND)
    _write_words(sheet, dataset, layout)
    shown = dataset.balanced_sample(min(len(dataset), columns * rows * layout.classes), seed)
    for label in range(layout.classes):
        chosen = np.flatnonzero(shown.labels == label)[: columns * rows]
        for position, index in enumerate(chosen):
            tile = _tile(shown.images[index], layout.cell)
            sheet.paste(tile, layout.corner(label, position))
    path = Path(path)
    make_folder(path.parent)
    with replacing(path) as draft:
        sheet.save(draft, "PNG", optimize=True)


def _cell_size(width: int, height: int) -> tuple[int, int]:
    """Small images grow by the whole number that reaches the cell; large ones shrink to it."""
    longer = max(width, height)
    if longer <= _CELL:
        factor = -(-_CELL // longer)
        return width * factor, height * factor
    return max(1, round(width * _CELL / longer)), max(1, round(height * _CELL / longer))


def _tile(image: NDArray[np.uint8], cell: tuple[int, int]) -> Image.Image:
    channels = image.shape[2]
    decoded = Image.fromarray(image[:, :, 0] if channels == 1 else image, _CHANNELS[channels])
    grows = cell[0] >= decoded.width
    return decoded.resize(cell, Image.Resampling.NEAREST if grows else Image.Resampling.LANCZOS)


def _write_words(sheet: Image.Image, dataset: Dataset, layout: _Layout) -> None:
    pen = ImageDraw.Draw(sheet)
    title, body, small = (ImageFont.load_default(size) for size in (26, 17, 13))
    room = layout.size[0] - 2 * _MARGIN
    pen.text((_MARGIN, _MARGIN), _fitted(pen, dataset.name, title, room), _INK, title)
    facts = f"{len(dataset):,} images in {layout.classes} classes"
    pen.text((_MARGIN, _MARGIN + 33), facts, _FAINT_INK, small)
    for label, (name, count) in enumerate(dataset.class_counts().items()):
        top = layout.top(label)
        words = _fitted(pen, name, body, _LABEL_WIDTH - 3 * _GAP)
        pen.text((_MARGIN, top), words, _INK, body)
        pen.text((_MARGIN, top + 23), f"{count:,}", _FAINT_INK, small)


def _fitted(pen: ImageDraw.ImageDraw, name: str, font: _Font, room: int) -> str:
    """``name``, cut with an ellipsis where it is wider than ``room`` pixels."""
    if pen.textlength(name, font) <= room:
        return name
    kept = len(name)
    while kept and pen.textlength(f"{name[:kept]}...", font) > room:
        kept -= 1
    return f"{name[:kept]}..."
