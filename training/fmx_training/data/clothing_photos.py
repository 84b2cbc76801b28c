"""Photos of clothes to learn from beside Fashion-MNIST, cut out as fmx-run cuts them out.

A folder of one folder for each kind of garment, named as in the CC0 clothing data set (Grigorev,
2020, github.com/alexeygrigorev/clothing-dataset-small): ``dress/1.jpg``, ``pants/2.jpg``. Each
photo is seen several times, each time taken a little otherwise - nearer, turned, in other
light - before its garment is found, so that the finder's own mistakes are learnt too.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path  # noqa: TC003
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fmx_runtime.errors import DataError, ImageError
from fmx_runtime.images.decode import open_image
from fmx_runtime.images.preprocess import to_pixels
from fmx_runtime.labeled_images import image_files
from fmx_runtime.support.cores import usable_cores
from fmx_training.data.examples import Examples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

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
"""The folders that are read, and which of Fashion-MNIST's labels are right for them."""

_TAKES = 4
"""How often each photo is seen: once as it is."""

_MARGIN = 0.2  # of ground that is mirrored around a photo, so that turning it shows no corners
_MOST_TURN = 10.0  # degrees
_ZOOM = (0.9, 1.15)
_GAMMA = 1.4
_TINT = 0.1
_SHADOW = 0.35


def read(
    folder: Path,
    spec: InputSpec,
    labels: tuple[str, ...],
    *,
    watch: Callable[[Iterable[Any], int, str], Iterable[Any]],
    report: Callable[[str], None],
) -> Examples:
    """All photos of the known kinds, at the network's size, each several times.

    Args:
        folder: see the module's own words.
        spec: the network's input.
        labels: Fashion-MNIST's, in the order of the network's outputs.
        watch: passes on the items that it is given, with their number and what is done to them.
        report: called with one line about each file that is left out.

    Returns:
        Of each kind its photos; where several labels are right, each is an equal part of the
        answer.

    Raises:
        DataError: the folder has none of the kinds, or a kind has no photos.
    """
    files = {kind: image_files(folder / kind) for kind in KINDS if (folder / kind).is_dir()}
    if not files:
        raise DataError(
            f"'{folder}' (photos) has none of the folders {', '.join(KINDS)}; "
            "give one that has, with photos in them"
        )
    empty = [kind for kind, some in files.items() if not some]
    if empty:
        raise DataError(f"'{folder / empty[0]}' has no photos in it; put some there")
    paths = [(kind, path) for kind, some in files.items() for path in some]
    images, targets = [], []
    context = multiprocessing.get_context("spawn")  # a fork of TensorFlow's threads may hang
    with ProcessPoolExecutor(usable_cores(), context) as pool:
        found = pool.map(partial(_takes, spec=spec), [path for _, path in paths], chunksize=16)
        for (kind, _), result in zip(paths, watch(found, len(paths), "photos"), strict=True):
            if isinstance(result, str):
                report(f"{result}; left out")
                continue
            images.append(result)
            targets += [_answer(KINDS[kind], labels)] * len(result)
    return Examples("photos", np.concatenate(images), np.stack(targets), labels)


def _answer(right: tuple[str, ...], labels: tuple[str, ...]) -> NDArray[np.float32]:
    return np.array([(label in right) / len(right) for label in labels], np.float32)


def _takes(path: Path, spec: InputSpec) -> NDArray[np.uint8] | str:
    """The photo's garment at the network's size, `_TAKES` times; or what is wrong with it."""
    try:
        pixels = [to_pixels(path, spec, segment_garment=True)]
        content = path.read_bytes()
        image = open_image(content, "RGB")
        random = np.random.default_rng(list(hashlib.sha256(content).digest()[:8]))
        takes = [_retaken(image, random) for _ in range(_TAKES - 1)]
        return np.stack(pixels + [to_pixels(take, spec, segment_garment=True) for take in takes])
    except ImageError as error:
        return str(error)


def _retaken(image: Image.Image, random: Generator) -> NDArray[np.uint8]:
    """The photo as if taken again: nearer or farther, turned, in other light."""
    image.thumbnail((384, 384))
    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    rows, columns = round(height * _MARGIN), round(width * _MARGIN)
    wide = np.pad(pixels, ((rows, rows), (columns, columns), (0, 0)), mode="symmetric")
    turned = Image.fromarray(wide).rotate(
        random.uniform(-_MOST_TURN, _MOST_TURN), Image.Resampling.BILINEAR
    )
    zoom = random.uniform(*_ZOOM)
    high, long = round(height / zoom), round(width / zoom)
    top = (wide.shape[0] - high) // 2 + round(random.uniform(-0.04, 0.04) * height)
    left = (wide.shape[1] - long) // 2 + round(random.uniform(-0.04, 0.04) * width)
    cut = turned.crop((left, top, left + long, top + high))
    light = np.asarray(cut, np.float32) / 255
    light = light ** np.exp(random.uniform(-np.log(_GAMMA), np.log(_GAMMA)))
    light *= random.uniform(1 - _TINT, 1 + _TINT, 3)
    angle = random.uniform(0, 2 * np.pi)
    y, x = np.linspace(-1, 1, high)[:, np.newaxis], np.linspace(-1, 1, long)
    slope = (np.cos(angle) * x + np.sin(angle) * y) / 2
    light *= (1 + random.uniform(0, _SHADOW) * slope)[..., np.newaxis]
    taken: NDArray[np.uint8] = (light * 255).clip(0, 255).astype(np.uint8)
    return taken
