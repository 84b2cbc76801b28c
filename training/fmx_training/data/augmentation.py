"""Images changed at random in ways that do not change what they show.

All changes to a data set are drawn first, then applied to whatever images a batch holds: one view
of the data set, the same whatever the order. Plain NumPy on uint8 arrays, a few milliseconds a
batch, so a small part of a training step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

__all__ = ["Augmentation", "View"]

_LEAST_AREA = 0.02
_MOST_LONG = 3.3
"""Smallest share of an image that is erased, and the most that one side is of the other: Zhong et
al., "Random Erasing Data Augmentation", arXiv:1708.04896, section 4."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How much images may change.

    Attributes:
        shift: most that an image moves, as a fraction of its side; what comes in is black.
        flip: whether half of the images are mirrored, left to right.
        erase: probability that a rectangle is overwritten with noise (Zhong et al., 2017).
        erase_area: most of an image that the rectangle covers, a fraction.
        crop: smallest share of an image that is shown, enlarged to its size; 1 shows all. Its
            sides' ratio changes by up to a third (Szegedy et al., arXiv:1409.4842).
        light: most by which brightness, contrast and each colour change, a fraction.
        mix: probability that another image shows through, and its answer is wanted as much as it
            shows, by up to a half (Zhang et al., "mixup", arXiv:1710.09412).
    """

    shift: float = 0.0
    flip: bool = False
    erase: float = 0.0
    erase_area: float = 0.25
    crop: float = 1.0
    light: float = 0.0
    mix: float = 0.0


class View:
    """Every image of a data set changed in its own way."""

    def __init__(self, images: NDArray[np.uint8], how: Augmentation, seed: tuple[int, ...]) -> None:
        """Draw the changes.

        Args:
            images: uint8 ``(n, h, w, c)``, n >= 1; stays as it is.
            how: how much they change.
            seed: what the changes are drawn from, integers of 0 or more.
        """
        self._images = images
        count, height, width, channels = images.shape
        random = np.random.default_rng(seed)
        down, across = (round(how.shift * side) for side in (height, width))
        self._boxes: Any = _boxes(count, height, width, how.crop, random) if how.crop < 1 else None
        self._tables: Any = _tables(count, channels, how.light, random) if how.light else None
        self._down = random.integers(-down, down + 1, count)
        self._across = random.integers(-across, across + 1, count)
        self._mirrored: Any = (random.random(count) < 0.5) & how.flip  # noqa: PLR2004
        area = random.uniform(_LEAST_AREA, how.erase_area, count) * height * width
        aspect = np.exp(random.uniform(-np.log(_MOST_LONG), np.log(_MOST_LONG), count))
        erased = random.random(count) < how.erase
        self._tall = np.where(erased, np.sqrt(area * aspect).round().clip(1, height), 0)
        self._wide = np.where(erased, np.sqrt(area / aspect).round().clip(1, width), 0)
        self._top = np.floor(random.random(count) * (height - self._tall + 1))
        self._left = np.floor(random.random(count) * (width - self._wide + 1))
        # one field of noise for all; each image's rectangle shows another piece of it
        self._noise = random.integers(0, 256, (2 * height, 2 * width, channels), np.uint8)
        self._noise_row = random.integers(0, height + 1, count)
        self._noise_column = random.integers(0, width + 1, count)
        self._partner = random.permutation(count)
        self._share = np.where(
            random.random(count) < how.mix, random.uniform(0, 0.5, count), 0
        ).astype(np.float32)

    def __len__(self) -> int:
        """How many images."""
        return len(self._images)

    def __getitem__(self, chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The changed images at those indices: uint8 ``(m, h, w, c)``."""
        shown = self._alone(chosen)
        mixed = np.flatnonzero(self._share[chosen])
        if len(mixed):
            share = self._share[chosen[mixed], None, None, None]
            other = self._alone(self._partner[chosen[mixed]])
            shown[mixed] = (shown[mixed] * (1 - share) + other * share).round()
        return shown

    def answers(self, targets: NDArray[np.float32]) -> NDArray[np.float32]:
        """What is wanted of the changed images, where ``targets`` is of the images themselves.

        Args:
            targets: float32 ``(n, classes)``, distributions.
        """
        share = self._share[:, np.newaxis]
        return targets * (1 - share) + targets[self._partner] * share

    def _alone(self, chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
        shown = self._moved(chosen)
        if self._boxes is not None:
            shown = np.stack([_cut(*pair) for pair in zip(shown, self._boxes[chosen], strict=True)])
        if self._tables is not None:
            tables = self._tables[chosen]
            which = np.arange(len(chosen))[:, None, None, None]
            shown = tables[which, np.arange(shown.shape[3]), shown]
        self._erase(shown, chosen)
        return shown

    def _moved(self, chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
        _, height, width, _ = self._images.shape
        y, x = np.arange(height), np.arange(width)
        rows = y + self._down[chosen, np.newaxis]
        columns = x + self._across[chosen, np.newaxis]
        mirrored: NDArray[np.bool_] = self._mirrored[chosen]
        columns[mirrored] = columns[mirrored, ::-1]
        in_rows, in_columns = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
        rows, columns = rows.clip(0, height - 1), columns.clip(0, width - 1)
        moved: NDArray[np.uint8] = self._images[
            chosen[:, None, None], rows[:, :, None], columns[:, None, :]
        ]
        moved[~(in_rows[:, :, None] & in_columns[:, None, :])] = 0
        return moved

    def _erase(self, images: NDArray[np.uint8], chosen: NDArray[np.int64]) -> None:
        """Overwrite the rectangles, in place."""
        y, x = np.arange(images.shape[1]), np.arange(images.shape[2])
        top, left = self._top[chosen, np.newaxis], self._left[chosen, np.newaxis]
        in_rows = (y >= top) & (y < top + self._tall[chosen, np.newaxis])
        in_columns = (x >= left) & (x < left + self._wide[chosen, np.newaxis])
        which, row, column = np.nonzero(in_rows[:, :, None] & in_columns[:, None, :])
        images[which, row, column] = self._noise[
            row + self._noise_row[chosen][which], column + self._noise_column[chosen][which]
        ]


def _boxes(count: int, height: int, width: int, least: float, random: Generator) -> Any:
    """What of each image is shown: left, top, right, bottom in pixels, float64 ``(n, 4)``."""
    share = random.uniform(least, 1, count)
    aspect = np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3), count))
    tall = np.minimum(1, np.sqrt(share / aspect)) * height
    wide = np.minimum(1, np.sqrt(share * aspect)) * width
    top, left = random.random(count) * (height - tall), random.random(count) * (width - wide)
    return np.stack([left, top, left + wide, top + tall], axis=1)


def _cut(pixels: NDArray[np.uint8], box: NDArray[np.float64]) -> NDArray[np.uint8]:
    height, width, channels = pixels.shape
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    part = image.resize((width, height), Image.Resampling.BILINEAR, tuple(box))
    return np.asarray(part).reshape(pixels.shape)


def _tables(count: int, channels: int, most: float, random: Generator) -> NDArray[np.uint8]:
    """What each value of a pixel becomes, by image and channel: uint8 ``(n, c, 256)``."""
    brightness = random.uniform(-most, most, (count, 1, 1))
    contrast = random.uniform(1 - most, 1 + most, (count, 1, 1))
    tint = random.uniform(1 - most / 2, 1 + most / 2, (count, channels, 1))
    values = np.arange(256) / 255
    changed = ((values - 0.5) * contrast + 0.5 + brightness) * tint
    return (changed * 255).round().clip(0, 255).astype(np.uint8)
