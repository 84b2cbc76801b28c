"""Anybody's images: a folder, or an ``.npz`` file, as arrays at a network's size.

::

    photos/shirt/1.jpg  photos/bag/2.png       sub-folders named after the classes: labeled
    photos/1.jpg        photos/2.png           a flat folder: images without labels
    photos.npz                                 images uint8 (n, h, w, c) or (n, h, w), and, if they
                                               are known, labels: integers (n,)
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fmx_runtime.errors import DataError, ImageError
from fmx_runtime.images.preprocess import to_pixels
from fmx_runtime.sources.paths import SUFFIXES
from fmx_runtime.support.error_summary import error_summary
from fmx_training.data.class_names import numbered
from fmx_training.data.dataset import Dataset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["Images", "images_below", "noise", "read", "split"]


@dataclass(frozen=True, eq=False)
class Images:
    """Images of one size without labels, at least one.

    Attributes:
        name: what error messages and reports call them.
        images: uint8 array ``(n, h, w, c)``, values 0 to 255.
        labels: None, which tells them from a `Dataset`.
    """

    name: str
    images: NDArray[np.uint8]
    labels: None = None

    def __len__(self) -> int:
        """How many images."""
        return len(self.images)

    def digest(self) -> str:
        """SHA-256 (hex) of the array's shape and values."""
        shape = str(self.images.shape).encode()
        return hashlib.sha256(shape + np.ascontiguousarray(self.images).tobytes()).hexdigest()

    def split(self, held_out: int, seed: int) -> tuple[Images, Images]:
        """Cut in two, see `Dataset.split`.

        Raises:
            DataError: ``held_out`` or ``seed`` is out of range.
        """
        alike = Dataset(self.name, self.images, np.zeros(len(self), np.int64), ("any",))
        rest, held = alike.split(held_out, seed)
        return Images(rest.name, rest.images), Images(held.name, held.images)


def read(
    path: Path,
    spec: InputSpec,
    *,
    classes: int,
    names: tuple[str, ...] | None,
    report: Callable[[str], None],
) -> Dataset | Images:
    """All images of a folder or an ``.npz`` file, as the network sees them.

    A file in a folder that is no readable image is reported and left out.

    Args:
        path: see the module's own words.
        spec: the network's input.
        classes: how many the network tells apart.
        names: theirs, in the order of the network's outputs. Without them the sub-folders' names,
            sorted, as Keras' ``image_dataset_from_directory`` has them; or else numbers.
        report: called with one line about each file that is left out.

    Returns:
        A `Dataset` where the classes are known, else `Images`; named after ``path``.

    Raises:
        DataError: there are no images, or they or their labels are not as stated.
    """
    if not path.exists():
        raise DataError(f"'{path}' (images) does not exist; give a folder or an .npz file")
    if not path.is_dir():
        return _read_arrays(path, spec, names or numbered(classes))
    return _read_folder(path, spec, classes, names, report)


def noise(spec: InputSpec, size: int, seed: int) -> Images:
    """Random images, for whoever has no other ones.

    The raw output of a bit generator, which NumPy promises never to change.

    Args:
        spec: the network's input.
        size: how many, 1 or more.
        seed: 0 or more.
    """
    shape = (size, *spec.shape)
    words = np.random.PCG64(seed).random_raw(-(-int(np.prod(shape)) // 8))
    values = np.asarray(words).astype("<u8").view(np.uint8)[: int(np.prod(shape))]
    return Images(f"random pixels (seed {seed})", values.reshape(shape))


def split(
    images: Dataset | Images, size: int, seed: int
) -> tuple[Dataset | Images, Dataset | Images]:
    """Calibration images and held-out ones, no image in both, each class in proportion.

    Args:
        images: `Dataset` or `Images`, two or more.
        size: how many calibrate, at most; of fewer than twice as many images, one half.
        seed: what chooses them, 0 or more.

    Returns:
        Two of the same kind, at least one image in each.

    Raises:
        DataError: there is only one image.
    """
    total = len(images)
    if total < 2:  # noqa: PLR2004
        raise DataError(
            f"{images.name}: one image only; at least two are needed, "
            "one to calibrate with and one to check the result"
        )
    return images.split(total - min(size, total // 2), seed)


def images_below(folder: Path) -> list[Path]:
    """The image files in a folder and all below it, sorted; hidden ones are left out."""
    return [file for file in sorted(folder.rglob("*")) if _is_image(file)]


def _read_folder(
    path: Path,
    spec: InputSpec,
    classes: int,
    names: tuple[str, ...] | None,
    report: Callable[[str], None],
) -> Dataset | Images:
    loose = [file for file in _visible(path) if _is_image(file)]
    folders = [folder for folder in _visible(path) if folder.is_dir()]
    files = [file for folder in folders for file in images_below(folder)]
    if not files:
        return Images(_name(path), np.stack(list(_decode(path, loose, spec, report).values())))
    names = names or _names_of(path, folders, classes)
    strange = sorted({_class_of(file, path) for file in files} - set(names))
    if strange:
        raise DataError(
            f"'{path / strange[0]}': {strange[0]!r} is none of the {len(names)} labels, "
            f"which begin with {names[0]!r}; rename the folder, or take it out"
        )
    if loose:
        report(f"'{path}': {len(loose):,} images lie in no class's folder; left out")
    read = _decode(path, files, spec, report)
    labels = [names.index(_class_of(file, path)) for file in read]
    return Dataset(_name(path), np.stack(list(read.values())), np.array(labels, np.int64), names)


def _names_of(path: Path, folders: list[Path], classes: int) -> tuple[str, ...]:
    if len(folders) != classes:
        raise DataError(
            f"'{path}' has folders for {len(folders)} classes, the network tells {classes} apart; "
            "give --labels with the names of all of them"
        )
    return tuple(folder.name for folder in folders)


def _decode(
    path: Path, files: list[Path], spec: InputSpec, report: Callable[[str], None]
) -> dict[Path, NDArray[np.uint8]]:
    """The files that are images, in the order of ``files``."""
    read = {}
    for file in files:
        try:
            read[file] = to_pixels(file, spec)
        except ImageError as error:
            report(f"{error}; left out")
    if not read:
        found = f"none of its {len(files):,} images can be read" if files else "no image in it"
        raise DataError(
            f"'{path}' (images): {found}; give a folder of images, or of one folder for each class"
        )
    return read


def _read_arrays(path: Path, spec: InputSpec, names: tuple[str, ...]) -> Dataset | Images:
    arrays = _load(path)
    images = _checked_images(path, arrays["images"])
    pixels = np.stack([to_pixels(image, spec) for image in images])
    if "labels" not in arrays:
        return Images(_name(path), pixels)
    labels = arrays["labels"]
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"'{path}': labels are integers ({len(images)},), one for each image; "
            f"received {labels.dtype} {labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= len(names):
        raise DataError(
            f"'{path}': labels go from {labels.min()} to {labels.max()}; "
            f"the network's {len(names)} classes are 0 to {len(names) - 1}"
        )
    return Dataset(_name(path), pixels, labels.astype(np.int64), names)


def _load(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz`` file; those that are pickled are never unpacked."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("images", "labels") if name in file}
    # NumPy and zipfile raise ValueError, EOFError, BadZipFile, zlib.error and others; and a lone
    # array or a pickle is no context manager
    except Exception as error:
        raise DataError(
            f"'{path}' (images) is neither a folder nor an .npz file that can be read: "
            f"{error_summary(error)}"
        ) from error
    if "images" not in arrays:
        raise DataError(f"'{path}': no array named 'images'; numpy.savez(path, images=…) makes one")
    return arrays


def _checked_images(path: Path, images: NDArray[Any]) -> NDArray[np.uint8]:
    gray = images.ndim == 3  # noqa: PLR2004
    colour = images.ndim == 4 and images.shape[3] in {1, 3}  # noqa: PLR2004
    if images.dtype != np.uint8 or not (gray or colour):
        raise DataError(
            f"'{path}': images are uint8 (n, h, w) or (n, h, w, 1 or 3), values 0 to 255; "
            f"received {images.dtype} {images.shape}"
        )
    if not images.size:
        raise DataError(f"'{path}': images has no images in it; received {images.shape}")
    return images


def _visible(folder: Path) -> list[Path]:
    """What lies in a folder, sorted by name; what is hidden belongs to other programs."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _is_image(file: Path) -> bool:
    return (
        file.suffix.lower() in SUFFIXES and file.is_file() and not file.name.startswith(".")
    )  # "._1.jpg" is what macOS leaves beside 1.jpg


def _class_of(file: Path, root: Path) -> str:
    """The sub-folder of ``root`` that a file lies in."""
    return file.relative_to(root).parts[0]


def _name(path: Path) -> str:
    """How reports and metadata call the images, without the folders of this machine."""
    return path.resolve().name
