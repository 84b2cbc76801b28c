"""Labeled images as arrays in an ``.npz`` file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fmx_runtime.errors import DataError
from fmx_runtime.labeled_images.image_set import LabeledImages, UnlabeledImages
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["read_arrays", "save"]

_ARRAYS = ("images", "labels", "class_names", "name")
_CHANNELS = (1, 3)


def read_arrays(path: Path) -> LabeledImages | UnlabeledImages:
    """Read an ``.npz`` file; see `fmx_runtime.labeled_images` for its arrays.

    Raises:
        DataError: the file cannot be read, or an array has another shape or dtype.
    """
    arrays = _load(path)
    images = _checked_images(path, arrays["images"])
    name = str(arrays["name"]) if "name" in arrays else path.stem
    if "labels" not in arrays:
        return UnlabeledImages(name, images)
    class_names = tuple(map(str, arrays.get("class_names", np.array([])).tolist()))
    return LabeledImages(
        name, images, _checked_labels(path, arrays["labels"], len(images), class_names), class_names
    )


def save(labeled: LabeledImages, path: Path) -> None:
    """Write images, which must be an array, to an ``.npz`` file that `read` reads."""
    np.savez_compressed(
        path,
        images=np.asarray(labeled.images),
        labels=labeled.labels,
        class_names=np.array(labeled.class_names, dtype=str),
        name=np.array(labeled.name),
    )


def _load(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file. Pickled ones are refused, since unpickling runs code."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _ARRAYS if name in file}
    # NumPy and zipfile raise ValueError, EOFError, BadZipFile, zlib.error and others; and an .npy
    # file or a pickle is no context manager
    except Exception as error:
        raise DataError(
            f"'{path}' cannot be read ({error_summary(error)}); give an .npz file or a folder of "
            "images"
        ) from error
    if "images" not in arrays:
        raise DataError(
            f"'{path}' has no array 'images'; write it with numpy.savez(path, images=…, labels=…)"
        )
    return arrays


def _checked_images(path: Path, images: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the images as an array of four axes."""
    four_axes = images[..., np.newaxis] if images.ndim == 3 else images  # noqa: PLR2004
    is_valid = four_axes.ndim == 4 and four_axes.shape[3] in _CHANNELS  # noqa: PLR2004
    if images.dtype != np.uint8 or not is_valid:
        raise DataError(
            f"'{path}': images must be uint8 (n, height, width) or (n, height, width, 1 or 3), "
            f"values 0 to 255. Received: {images.dtype} {images.shape}"
        )
    if not images.size:
        raise DataError(f"'{path}' has no images. Received: {images.dtype} {images.shape}")
    return four_axes


def _checked_labels(
    path: Path, labels: NDArray[Any], images: int, class_names: tuple[str, ...]
) -> NDArray[np.int64]:
    if labels.dtype.kind not in "iu" or labels.shape != (images,):
        raise DataError(
            f"'{path}': labels must be integers ({images},), one for each image. "
            f"Received: {labels.dtype} {labels.shape}"
        )
    classes = len(class_names) or labels.max() + 1
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"'{path}': labels go from {labels.min()} to {labels.max()}; "
            f"its {classes} classes are 0 to {classes - 1}"
        )
    if len(set(class_names)) < len(class_names):
        raise DataError(f"'{path}': two classes have the same name. Received: {class_names}")
    return labels.astype(np.int64)
