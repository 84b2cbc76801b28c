"""Random changes of images that do not change their class.

The changes of a whole data set are drawn first, then applied to the images of a batch. So the same
seed gives the same images in any order and any batch size, and a teacher gets the same images as
its student. Keras' augmentation layers are not used, because they draw anew in each batch. Plain
NumPy on uint8 arrays takes a few milliseconds a batch, a small part of a training step.
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

_MIN_ERASED_AREA = 0.02
_MAX_ERASED_ASPECT = 3.3
"""Smallest share of an image that is erased, and largest ratio of the rectangle's sides: Zhong et
al., "Random Erasing Data Augmentation", arXiv:1708.04896, section 4."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How much images change.

    Attributes:
        shift: largest shift, as a fraction of the image's side. Uncovered pixels become black.
        flip: whether half of the images are flipped horizontally.
        erase: probability that a rectangle is overwritten with noise (Zhong et al., 2017).
        erase_area: largest area of the rectangle, as a fraction of the image.
        crop: smallest area of a random crop, as a fraction of the image; 1 for no crops. The crop
            is resized to the image's size; its aspect ratio changes by up to a third (Szegedy et
            al., arXiv:1409.4842).
        color_jitter: largest change of brightness, contrast and each color, as a fraction.
        mixup: probability that another image is blended in with a weight of up to one half, and
            its target with the same weight (Zhang et al., "mixup", arXiv:1710.09412).
    """

    shift: float = 0.0
    flip: bool = False
    erase: float = 0.0
    erase_area: float = 0.25
    crop: float = 1.0
    color_jitter: float = 0.0
    mixup: float = 0.0


class View:
    """All images of a data set, each changed at random.

    It is indexed like an array: ``view[indices]`` returns the changed images at these indices.
    """

    def __init__(
        self, images: NDArray[np.uint8], augmentation: Augmentation, seed: tuple[int, ...]
    ) -> None:
        """Draw the changes.

        Args:
            images: uint8 ``(n, h, w, c)``, n >= 1. They are not changed in place.
            augmentation: how much the images change.
            seed: integers of 0 or more.
        """
        self._images = images
        count, height, width, channels = images.shape
        how, random = augmentation, np.random.default_rng(seed)
        down, across = (round(how.shift * side) for side in (height, width))
        # the result for a seed depends on the order of the draws: add new draws at the end
        self._crops: Any = _crops(count, height, width, how.crop, random) if how.crop < 1 else None
        self._colors: Any = (
            _color_tables(count, channels, how.color_jitter, random) if how.color_jitter else None
        )
        self._down = random.integers(-down, down + 1, count)
        self._across = random.integers(-across, across + 1, count)
        self._flipped: Any = (random.random(count) < 0.5) & how.flip  # noqa: PLR2004
        area = random.uniform(_MIN_ERASED_AREA, how.erase_area, count) * height * width
        log_aspect = np.log(_MAX_ERASED_ASPECT)
        aspect = np.exp(random.uniform(-log_aspect, log_aspect, count))
        erased = random.random(count) < how.erase
        self._erase_height = np.where(erased, np.sqrt(area * aspect).round().clip(1, height), 0)
        self._erase_width = np.where(erased, np.sqrt(area / aspect).round().clip(1, width), 0)
        self._erase_top = np.floor(random.random(count) * (height - self._erase_height + 1))
        self._erase_left = np.floor(random.random(count) * (width - self._erase_width + 1))
        # one field of noise for all images; each rectangle shows another part of it
        self._noise = random.integers(0, 256, (2 * height, 2 * width, channels), np.uint8)
        self._noise_row = random.integers(0, height + 1, count)
        self._noise_column = random.integers(0, width + 1, count)
        self._partner = random.permutation(count)
        self._partner_weight = np.where(
            random.random(count) < how.mixup, random.uniform(0, 0.5, count), 0
        ).astype(np.float32)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._images)

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the changed images at these indices: uint8 ``(m, h, w, c)``."""
        images = self._changed(indices)
        mixed = np.flatnonzero(self._partner_weight[indices])
        if len(mixed):
            weight = self._partner_weight[indices[mixed], None, None, None]
            partners = self._changed(self._partner[indices[mixed]])
            images[mixed] = (images[mixed] * (1 - weight) + partners * weight).round()
        return images

    def mix_targets(self, targets: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the targets of the changed images.

        Args:
            targets: those of the unchanged images, float32 ``(n, classes)``, distributions.
        """
        weight = self._partner_weight[:, np.newaxis]
        return targets * (1 - weight) + targets[self._partner] * weight

    def _changed(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images with all changes but the mixing."""
        images = self._shifted(indices)
        if self._crops is not None:
            crops = self._crops[indices]
            images = np.stack([_crop(*pair) for pair in zip(images, crops, strict=True)])
        if self._colors is not None:
            tables = self._colors[indices]
            image = np.arange(len(indices))[:, None, None, None]
            images = tables[image, np.arange(images.shape[3]), images]
        self._erase(images, indices)
        return images

    def _shifted(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images shifted and flipped."""
        _, height, width, _ = self._images.shape
        rows = np.arange(height) + self._down[indices, np.newaxis]
        columns = np.arange(width) + self._across[indices, np.newaxis]
        flipped: NDArray[np.bool_] = self._flipped[indices]
        columns[flipped] = columns[flipped, ::-1]
        in_rows, in_columns = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
        rows, columns = rows.clip(0, height - 1), columns.clip(0, width - 1)
        shifted: NDArray[np.uint8] = self._images[
            indices[:, None, None], rows[:, :, None], columns[:, None, :]
        ]
        shifted[~(in_rows[:, :, None] & in_columns[:, None, :])] = 0
        return shifted

    def _erase(self, images: NDArray[np.uint8], indices: NDArray[np.int64]) -> None:
        """Overwrite the rectangles with noise, in place."""
        y, x = np.arange(images.shape[1]), np.arange(images.shape[2])
        top, left = self._erase_top[indices, np.newaxis], self._erase_left[indices, np.newaxis]
        in_rows = (y >= top) & (y < top + self._erase_height[indices, np.newaxis])
        in_columns = (x >= left) & (x < left + self._erase_width[indices, np.newaxis])
        image, row, column = np.nonzero(in_rows[:, :, None] & in_columns[:, None, :])
        images[image, row, column] = self._noise[
            row + self._noise_row[indices][image], column + self._noise_column[indices][image]
        ]


def _crops(
    count: int, height: int, width: int, min_area: float, random: Generator
) -> NDArray[np.float64]:
    """Return each image's crop: left, top, right, bottom in pixels, ``(n, 4)``."""
    area = random.uniform(min_area, 1, count)
    aspect = np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3), count))
    crop_height = np.minimum(1, np.sqrt(area / aspect)) * height
    crop_width = np.minimum(1, np.sqrt(area * aspect)) * width
    top = random.random(count) * (height - crop_height)
    left = random.random(count) * (width - crop_width)
    return np.stack([left, top, left + crop_width, top + crop_height], axis=1)


def _crop(pixels: NDArray[np.uint8], box: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the part of an image in ``box``, resized to the image's size."""
    height, width, channels = pixels.shape
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    part = image.resize((width, height), Image.Resampling.BILINEAR, tuple(box))
    return np.asarray(part).reshape(pixels.shape)


def _color_tables(
    count: int, channels: int, strength: float, random: Generator
) -> NDArray[np.uint8]:
    """Return what each pixel value becomes, by image and channel: uint8 ``(n, c, 256)``."""
    brightness = random.uniform(-strength, strength, (count, 1, 1))
    contrast = random.uniform(1 - strength, 1 + strength, (count, 1, 1))
    tint = random.uniform(1 - strength / 2, 1 + strength / 2, (count, channels, 1))
    values = np.arange(256) / 255
    changed = ((values - 0.5) * contrast + 0.5 + brightness) * tint
    return (changed * 255).round().clip(0, 255).astype(np.uint8)
