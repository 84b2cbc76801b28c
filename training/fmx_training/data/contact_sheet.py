"""Draw a contact sheet: some images of each class of a data set, as one PNG file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fmx_runtime.errors import DataError
from fmx_runtime.support.atomic import make_folder, replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmx_training.data.dataset import Dataset

__all__ = ["draw"]

_DPI = 100
# pixels
_CELL = 56  # an image's longer side, at least: small images grow by a whole number
_GAP, _CLASS_GAP, _MARGIN = 3, 15, 28
_LABEL_WIDTH, _LABEL_HEIGHT, _TITLE_HEIGHT = 190, 42, 62

_MAX_NAME = 20  # characters
_BACKGROUND, _TEXT, _FAINT_TEXT = "#f7f6f3", "#1d1d1f", "#8a8a8e"
_CHANNELS = (1, 3)


def draw(
    dataset: Dataset, path: Path | str, *, columns: int = 16, rows: int = 2, seed: int = 0
) -> None:
    """Write a sheet with ``rows`` times ``columns`` images of each class, and its name.

    Args:
        dataset: gray or RGB images of any size.
        path: the PNG file. Its folder is created if necessary.
        columns: images side by side, 1 or more.
        rows: lines of images for each class, 1 or more.
        seed: of the choice of images, 0 or more.

    Raises:
        DataError: the images are neither gray nor RGB, or an option is out of range.
        OutputError: the file cannot be written; an existing file is not changed.
    """
    height, width, channels = dataset.images.shape[1:]
    if channels not in _CHANNELS:
        raise DataError(
            f"{dataset.name}: images on a contact sheet must have 1 or 3 channels. "
            f"Received: {channels}"
        )
    if columns < 1 or rows < 1:
        raise DataError(
            f"a contact sheet must have 1 or more columns and rows. Received: {columns} and {rows}"
        )
    figure = _figure(dataset, _cell_size(width, height), columns, rows, seed)
    path = Path(path)
    make_folder(path.parent)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DPI)


def _figure(dataset: Dataset, cell: tuple[int, int], columns: int, rows: int, seed: int) -> Any:
    """Return the sheet as a matplotlib figure. Positions are pixels from the top left corner."""
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

    classes = len(dataset.class_names)
    cell_width, cell_height = cell
    class_height = max(rows * (cell_height + _GAP) - _GAP, _LABEL_HEIGHT) + _CLASS_GAP
    images_left, images_top = _MARGIN + _LABEL_WIDTH, _MARGIN + _TITLE_HEIGHT
    width = images_left + columns * (cell_width + _GAP) - _GAP + _MARGIN
    height = images_top + classes * class_height - _CLASS_GAP + _MARGIN
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=_BACKGROUND)

    def write(text: str, top: int, size: int, color: str, right: int) -> None:
        figure.text(
            _MARGIN / width,
            1 - top / height,
            text,
            verticalalignment="top",
            size=size,
            color=color,
            parse_math=False,
            clip_box=Bbox.from_extents(0, 0, right, height),
            clip_on=True,
        )

    write(dataset.name, _MARGIN, 18, _TEXT, width)
    write(f"{len(dataset):,} images in {classes} classes", _MARGIN + 33, 9, _FAINT_TEXT, width)
    shown = dataset.balanced_sample(min(len(dataset), columns * rows * classes), seed)
    for label, (name, count) in enumerate(dataset.class_counts().items()):
        class_top = images_top + label * class_height
        short = name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…"
        write(short, class_top, 12, _TEXT, images_left - _GAP)
        write(f"{count:,}", class_top + 23, 9, _FAINT_TEXT, images_left - _GAP)
        chosen = np.flatnonzero(shown.labels == label)[: columns * rows]
        for position, index in enumerate(chosen):
            row, column = divmod(position, columns)
            top = class_top + row * (cell_height + _GAP)
            figure.figimage(
                _resized(shown.images[index], cell),
                xo=images_left + column * (cell_width + _GAP),
                yo=height - top - cell_height,
                origin="upper",
            )
    return figure


def _cell_size(width: int, height: int) -> tuple[int, int]:
    """Return the drawn width and height: a whole multiple of a small image's, or smaller."""
    longer = max(width, height)
    if longer <= _CELL:
        factor = -(-_CELL // longer)
        return width * factor, height * factor
    return max(1, round(width * _CELL / longer)), max(1, round(height * _CELL / longer))


def _resized(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return an image in another size, uint8 ``(height, width, 3)``; enlarged pixels stay sharp."""
    image = Image.fromarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
    is_larger = size[0] >= image.width
    method = Image.Resampling.NEAREST if is_larger else Image.Resampling.LANCZOS
    return np.asarray(image.resize(size, method))
