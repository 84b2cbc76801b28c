"""Labelled pictures: an ``.npz`` file, or a folder with one folder of pictures for each class."""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fmx_runtime.errors import DataError
from fmx_runtime.pictures import expand
from fmx_runtime.preprocess import to_pixels
from fmx_runtime.reason import reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fmx_runtime.card import InputSpec
    from fmx_runtime.preprocess import Picture

__all__ = ["Labelled", "read", "save"]

_ARRAY_AXES = (3, 4)


@dataclass(frozen=True, eq=False)
class Labelled:
    """Pictures and what is on them.

    Attributes:
        name: what reports call them.
        pictures: a uint8 array ``(n, h, w[, c])``, or paths of files; at least one.
        labels: int64 ``(n,)``, numbers of classes from 0 on.
        class_names: in the order of their numbers; none where the data do not name them.
    """

    name: str
    pictures: Sequence[Picture] | NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]

    def pixels(self, spec: InputSpec) -> NDArray[np.uint8]:
        """The pictures as a network's pixels: uint8 ``(n, *spec.shape)``.

        Raises:
            PictureError: one cannot be read.
        """
        if isinstance(self.pictures, np.ndarray) and self.pictures.shape[1:] == spec.shape:
            return self.pictures
        return np.stack([to_pixels(picture, spec) for picture in self.pictures])

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of pictures and labels, in hex: where it is equal, results can be compared."""
        whole = hashlib.sha256(self.labels.tobytes())
        if isinstance(self.pictures, np.ndarray):
            whole.update(f"{self.pictures.shape}".encode())
            whole.update(np.ascontiguousarray(self.pictures).data)
        else:
            for path in self.pictures:
                whole.update(hashlib.sha256(Path(str(path)).read_bytes()).digest())
        return whole.hexdigest()


def read(path: Path) -> Labelled:
    """Read labelled pictures; files in folders are opened only when their pixels are asked for.

    Args:
        path: an ``.npz`` file with ``images`` uint8 ``(n, h, w[, c])``, ``labels`` integers
            ``(n,)`` and perhaps ``class_names`` and ``name``; or a folder of folders, each named
            after its class.

    Raises:
        DataError: it is neither, or has no picture.
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
            f"'{path}' cannot be read ({reason(error)}): give an .npz file with 'images' and "
            "'labels', or a folder with one folder of pictures for each class"
        ) from error
    if images.dtype != np.uint8 or images.ndim not in _ARRAY_AXES:
        raise DataError(
            f"'{path}': images must be uint8 (n, height, width, channels), they are "
            f"{images.dtype} {images.shape}"
        )
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise DataError(
            f"'{path}': labels must be integers ({len(images)},), one for each picture, they are "
            f"{labels.dtype} {labels.shape}"
        )
    if not len(images):
        raise DataError(f"'{path}' has no picture in it")
    if images.ndim == _ARRAY_AXES[0]:
        images = images[..., np.newaxis]
    return Labelled(name, images, labels.astype(np.int64), tuple(map(str, names)))


def save(labelled: Labelled, path: Path) -> None:
    """Write pictures, which have to be an array, into an ``.npz`` file that `read` reads."""
    np.savez_compressed(
        path,
        images=np.asarray(labelled.pictures),
        labels=labelled.labels,
        class_names=np.array(labelled.class_names, dtype=str),
        name=np.array(labelled.name),
    )


def _read_folder(path: Path) -> Labelled:
    names = tuple(sorted(entry.name for entry in os.scandir(path) if entry.is_dir()))
    files, labels = [], []
    for number, name in enumerate(names):
        found = [one.path for one in expand(str(path / name)) if not one.error]
        files += found
        labels += [number] * len(found)
    if not files:
        raise DataError(
            f"folder '{path}' has no pictures in folders: one for each class, named after it"
        )
    return Labelled(path.name, files, np.array(labels, np.int64), names)
