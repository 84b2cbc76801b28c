"""Photos of clothes as training examples in addition to Fashion-MNIST.

The folder has one folder for each kind of garment, named as in the CC0 clothing data set (Grigorev,
2020, github.com/alexeygrigorev/clothing-dataset-small): ``dress/1.jpg``, ``pants/2.jpg``. The
garment is segmented as on the device. Each photo gives several examples: the photo itself, and
copies that are zoomed, rotated and lit differently. They are changed before the garment is
segmented, so the network also learns from the segmentation's mistakes.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path  # noqa: TC003
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fmx_runtime.errors import DataError, ImageError
from fmx_runtime.images.decode import open_image
from fmx_runtime.images.preprocess import to_pixels
from fmx_runtime.labeled_images import Watch, check_unreadable, image_files
from fmx_runtime.support.cores import usable_cores
from fmx_training.data.training_examples import Examples

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.random import Generator
    from numpy.typing import NDArray

    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["KINDS", "read"]

KINDS: Mapping[str, tuple[str, ...]] = {
    "dress": ("Dress",),
    "longsleeve": ("Pullover",),
    "outwear": ("Coat",),
    "pants": ("Trouser",),
    "shirt": ("Shirt",),
    "shoes": ("Sandal", "Sneaker", "Ankle boot"),
    "t-shirt": ("T-shirt/top",),
}
"""The folders that are read, and the labels of Fashion-MNIST that are correct for them."""

_COPIES = 4
"""Examples from each photo; the first is the photo itself."""

_MAX_SIDE = 384
"""Pixels; larger photos are scaled down before they are changed."""

_MARGIN = 0.2
"""Share of a photo's side that is mirrored around it, so that rotation shows no black corners."""

_MAX_ROTATION = 10.0  # degrees
_ZOOM = (0.9, 1.15)
_MAX_SHIFT = 0.04  # share of the photo's side
_GAMMA = 1.4
_TINT = 0.1
_SHADOW = 0.35


def read(
    folder: Path,
    spec: InputSpec,
    labels: tuple[str, ...],
    *,
    watch: Watch,
    report: Callable[[str], None],
) -> Examples:
    """Read all photos of the known kinds in the network's size, several examples from each.

    Args:
        folder: see above.
        spec: the network's input.
        labels: Fashion-MNIST's, in the order of the network's outputs.
        watch: wraps an iterable, given its length and a description, to show progress.
        report: called with one line about each photo that is skipped.

    Returns:
        The examples in the order of `KINDS`. If several labels are correct, each has the same share
        of the target.

    Raises:
        DataError: the folder has none of the kinds, a kind has no photos, or too many photos cannot
            be read.
    """
    files = {kind: image_files(folder / kind, report) for kind in KINDS if (folder / kind).is_dir()}
    if not files:
        raise DataError(
            f"'{folder}' (photos) has none of the folders {', '.join(KINDS)}; "
            "give a folder that has photos in one of them"
        )
    empty = [kind for kind, paths in files.items() if not paths]
    if empty:
        raise DataError(f"'{folder / empty[0]}' has no photos; add some, or remove the folder")
    photos = [(kind, path) for kind, paths in files.items() for path in paths]
    images, targets, problems = [], [], []
    context = multiprocessing.get_context("spawn")  # a fork of TensorFlow's threads may hang
    with ProcessPoolExecutor(usable_cores(), context) as pool:
        found = pool.map(partial(_examples, spec=spec), [path for _, path in photos], chunksize=16)
        for (kind, _), result in zip(photos, watch(found, len(photos), "photos"), strict=True):
            if isinstance(result, str):
                report(f"{result}; skipped")
                problems.append(result)
                continue
            images.append(result)
            targets += [_target(KINDS[kind], labels)] * len(result)
    check_unreadable(str(folder), problems, len(photos))
    return Examples("photos", np.concatenate(images), np.stack(targets), labels)


def _target(correct: tuple[str, ...], labels: tuple[str, ...]) -> NDArray[np.float32]:
    """Return a distribution in which each correct label has the same share."""
    return np.array([(label in correct) / len(correct) for label in labels], np.float32)


def _examples(path: Path, spec: InputSpec) -> NDArray[np.uint8] | str:
    """Return the garment in a photo and its copies: uint8 ``(_COPIES, h, w, c)``; or an error."""
    try:
        first = to_pixels(path, spec, segment_garment=True)
        content = path.read_bytes()
        photo = open_image(content, "RGB")
        # of the content, so that a photo's copies do not depend on the other photos
        random = np.random.default_rng(list(hashlib.sha256(content).digest()[:8]))
        copies = [_changed(photo, random) for _ in range(_COPIES - 1)]
        return np.stack([first, *(to_pixels(copy, spec, segment_garment=True) for copy in copies)])
    except ImageError as error:
        return str(error)


def _changed(photo: Image.Image, random: Generator) -> NDArray[np.uint8]:
    """Return a photo zoomed, rotated, shifted and lit differently: uint8 ``(h, w, 3)``."""
    photo.thumbnail((_MAX_SIDE, _MAX_SIDE))
    pixels = np.asarray(photo)
    height, width = pixels.shape[:2]
    rows, columns = round(height * _MARGIN), round(width * _MARGIN)
    padded = np.pad(pixels, ((rows, rows), (columns, columns), (0, 0)), mode="symmetric")
    rotated = Image.fromarray(padded).rotate(
        random.uniform(-_MAX_ROTATION, _MAX_ROTATION), Image.Resampling.BILINEAR
    )
    zoom = random.uniform(*_ZOOM)
    crop_height, crop_width = round(height / zoom), round(width / zoom)
    shift_down = round(random.uniform(-_MAX_SHIFT, _MAX_SHIFT) * height)
    shift_right = round(random.uniform(-_MAX_SHIFT, _MAX_SHIFT) * width)
    top = (padded.shape[0] - crop_height) // 2 + shift_down
    left = (padded.shape[1] - crop_width) // 2 + shift_right
    crop = rotated.crop((left, top, left + crop_width, top + crop_height))
    return _change_lighting(np.asarray(crop, np.float32) / np.float32(255), random)


def _change_lighting(pixels: NDArray[np.float32], random: Generator) -> NDArray[np.uint8]:
    """Return an image with another gamma, another tint, and a shadow from a random side.

    Args:
        pixels: float32 ``(h, w, 3)``, 0 to 1.
        random: draws the changes.
    """
    height, width = pixels.shape[:2]
    pixels = pixels ** np.exp(random.uniform(-np.log(_GAMMA), np.log(_GAMMA)))
    pixels *= random.uniform(1 - _TINT, 1 + _TINT, 3)
    angle = random.uniform(0, 2 * np.pi)
    y, x = np.linspace(-1, 1, height)[:, np.newaxis], np.linspace(-1, 1, width)
    slope = (np.cos(angle) * x + np.sin(angle) * y) / 2
    pixels *= (1 + random.uniform(0, _SHADOW) * slope)[..., np.newaxis]
    lit: NDArray[np.uint8] = (pixels * 255).clip(0, 255).astype(np.uint8)
    return lit
