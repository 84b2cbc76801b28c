"""Labeled images: an ``.npz`` file, or a folder with one folder of images for each class."""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fmx_runtime.errors import DataError
from fmx_runtime.images.preprocess import to_pixels
from fmx_runtime.sources.paths import expand
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fmx_runtime.images.preprocess import ImageLike
    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["LabeledImages", "read", "save"]

_ARRAY_AXES = (3, 4)


@dataclass(frozen=True, eq=False)
class LabeledImages:
    """Images and what is on them.

    Attributes:
        name: what reports call them.
        images: a uint8 array ``(n, h, w[, c])``, or paths of files; at least one.
        labels: int64 ``(n,)``, numbers of classes from 0 on.
        class_names: in the order of their numbers; none where the data do not name them.
    """

    name: str
    images: Sequence[ImageLike] | NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]

    def pixels(self, spec: InputSpec) -> NDArray[np.uint8]:
        """The images as a network's pixels: uint8 ``(n, *spec.shape)``.

        Raises:
            ImageError: one cannot be read.
        """
        if isinstance(self.images, np.ndarray) and self.images.shape[1:] == spec.shape:
            return self.images
        return np.stack([to_pixels(image, spec) for image in self.images])

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of images and labels, in hex: where it is equal, results can be compared."""
        whole = hashlib.sha256(self.labels.tobytes())
        if isinstance(self.images, np.ndarray):
            whole.update(f"{self.images.shape}".encode())
            whole.update(np.ascontiguousarray(self.images).data)
        else:
            for path in self.images:
                whole.update(hashlib.sha256(Path(str(path)).read_bytes()).digest())
        return whole.hexdigest()


def read(path: Path) -> LabeledImages:
    """Read labeled images; files in folders are opened only when their pixels are asked for.

    Args:
        path: an ``.npz`` file with ``images`` uint8 ``(n, h, w[, c])``, ``labels`` integers
            ``(n,)`` and perhaps ``class_names`` and ``name``; or a folder of folders, each named
            after its class.

    Raises:
        DataError: it is neither, or has no image.
    """
    if path.is_dir():
        return _read_folder(path)
    try:
        with np.load(path) as arrays:
            images, labels = arrays["images"], arrays["labels"]
            names = arrays["class_names"].tolist() if "class_names" in arrays else ()
            name = str(arrays["name"]) if "name" in arrays else path.stem
    # NumPy and zipfile raise ValueError, EOFError, BadZipFile, zlib.error and others; and a lone
    # array is no context manager
    except Exception as error:
        raise DataError(
            f"'{path}' cannot be read ({error_summary(error)}): give an .npz file with 'images' and "
            "'labels', or a folder with one folder of images for each class"
        ) from error
    if images.dtype != np.uint8 or images.ndim not in _ARRAY_AXES:
        raise DataError(
            f"'{path}': images must be uint8 (n, height, width, channels), they are "
            f"{images.dtype} {images.shape}"
        )
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise DataError(
            f"'{path}': labels must be integers ({len(images)},), one for each image, they are "
            f"{labels.dtype} {labels.shape}"
        )
    if not len(images):
        raise DataError(f"'{path}' has no image in it")
    if images.ndim == _ARRAY_AXES[0]:
        images = images[..., np.newaxis]
    return LabeledImages(name, images, labels.astype(np.int64), tuple(map(str, names)))


def save(labeled: LabeledImages, path: Path) -> None:
    """Write images, which have to be an array, into an ``.npz`` file that `read` reads."""
    np.savez_compressed(
        path,
        images=np.asarray(labeled.images),
        labels=labeled.labels,
        class_names=np.array(labeled.class_names, dtype=str),
        name=np.array(labeled.name),
    )


def _read_folder(path: Path) -> LabeledImages:
    names = tuple(sorted(entry.name for entry in os.scandir(path) if entry.is_dir()))
    files, labels = [], []
    for number, name in enumerate(names):
        found = [one.path for one in expand(str(path / name)) if not one.error]
        files += found
        labels += [number] * len(found)
    if not files:
        raise DataError(
            f"folder '{path}' has no images in folders: one for each class, named after it"
        )
    return LabeledImages(path.name, files, np.array(labels, np.int64), names)
