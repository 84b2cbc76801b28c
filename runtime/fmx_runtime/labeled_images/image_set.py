"""Images with or without labels, in memory or as files that are decoded when they are needed."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fmx_runtime.errors import ImageError
from fmx_runtime.images.preprocess import to_pixels
from fmx_runtime.labeled_images.class_order import check_label_range, class_numbers
from fmx_runtime.labeled_images.decode_all import decode_all, no_progress

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    # of Python 3.11; only type checkers read it
    from typing import Self

    from numpy.typing import NDArray

    from fmx_runtime.labeled_images.decode_all import Watch
    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["ImageSet", "LabeledImages", "UnlabeledImages"]


@dataclass(frozen=True)
class _Decoded:
    """The pixels of all images of a set, for one way of preprocessing."""

    preprocessing: tuple[object, ...]
    pixels: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images, at least one.

    Attributes:
        name: the data set's name in reports and messages.
        images: a uint8 array ``(n, h, w, c)``, or paths of image files.
    """

    name: str
    images: Sequence[str | os.PathLike[str]] | NDArray[np.uint8]
    _decoded: _Decoded | None = field(default=None, kw_only=True, repr=False)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def pixels(self, spec: InputSpec) -> NDArray[np.uint8]:
        """Return the images as a network's pixels: uint8 ``(n, *spec.shape)``.

        Raises:
            ImageError: an image cannot be read; see `readable`.
        """
        if self._decoded and self._decoded.preprocessing == _preprocessing(spec):
            return self._decoded.pixels
        if isinstance(self.images, np.ndarray) and self.images.shape[1:] == spec.shape:
            return self.images
        return np.stack([to_pixels(image, spec) for image in self.images])

    def readable(
        self,
        spec: InputSpec,
        *,
        report: Callable[[str], None],
        watch: Watch = no_progress,
        min_side: int = 1,
    ) -> Self:
        """Decode all images, and return those that can be read.

        The pixels are kept, so `pixels` with the same preprocessing takes no time afterwards.

        Args:
            spec: the network's input.
            report: called with one line about each image that is skipped.
            watch: wraps an iterable, given its length and a description, to show progress.
            min_side: image files with fewer pixels in width or height are skipped.

        Raises:
            DataError: too many images cannot be used, or none can.
        """
        if isinstance(self.images, np.ndarray):
            kept, pixels = self, self.pixels(spec)
        else:
            found = decode_all(
                self.name, self.images, spec, min_side=min_side, report=report, watch=watch
            )
            kept, pixels = self.take([*found]), np.stack([*found.values()])
        return dataclasses.replace(kept, _decoded=_Decoded(_preprocessing(spec), pixels))

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> Self:
        """Return the images at ``indices``, in that order."""
        return dataclasses.replace(self, **self._selected_attributes(np.asarray(indices, np.int64)))

    def content_hashes(self, salt: bytes = b"") -> list[bytes]:
        """Return the SHA-256 of ``salt`` and each image's content: of its file, or its pixels.

        Raises:
            ImageError: a file cannot be read.
        """
        return [hashlib.sha256(salt + _content(image)).digest() for image in self.images]

    def _selected_attributes(self, indices: NDArray[np.int64]) -> dict[str, Any]:
        """Return the attributes that differ in a selection of the images."""
        if isinstance(self.images, np.ndarray):
            images: Any = self.images[indices]
        else:
            images = [self.images[index] for index in indices]
        decoded = self._decoded and dataclasses.replace(
            self._decoded, pixels=self._decoded.pixels[indices]
        )
        return {"images": images, "_decoded": decoded}


@dataclass(frozen=True, eq=False)
class UnlabeledImages(ImageSet):
    """Images without labels."""

    labels: None = None
    class_names: tuple[()] = ()


@dataclass(frozen=True, eq=False)
class LabeledImages(ImageSet):
    """Images with labels.

    Attributes:
        labels: int64 ``(n,)``, class numbers from 0 on.
        class_names: the names of the classes, in the order of their numbers; empty where the data
            do not name them.
    """

    labels: NDArray[np.int64]
    class_names: tuple[str, ...]

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of images and labels, in hex: results on equal images can be compared."""
        whole = hashlib.sha256(self.labels.tobytes())
        if isinstance(self.images, np.ndarray):
            whole.update(f"{self.images.shape}".encode())
            whole.update(np.ascontiguousarray(self.images).data)
        else:
            for digest in self.content_hashes():
                whole.update(digest)
        return whole.hexdigest()

    def with_class_names(
        self, class_names: Sequence[str], *, allow_missing: bool = False
    ) -> LabeledImages:
        """Return the images with the class names of a model, in the model's order.

        A folder's name may have ``-``, ``_``, ``:`` or a space where a label has ``/``, which no
        folder's name can contain.

        Args:
            class_names: the model's labels.
            allow_missing: whether labels without a folder are accepted.

        Raises:
            DataError: the classes of the images are not those of the model, or there are no class
                names and a class number is out of the model's range.
        """
        labels = self.labels
        if self.class_names:
            used = {self.class_names[number] for number in np.unique(labels)}
            numbers = class_numbers(
                self.name, self.class_names, class_names, used=used, allow_missing=allow_missing
            )
            labels = numbers[labels]
        else:
            check_label_range(self.name, labels, len(class_names))
        return dataclasses.replace(self, labels=labels, class_names=tuple(class_names))

    def _selected_attributes(self, indices: NDArray[np.int64]) -> dict[str, Any]:
        return {**super()._selected_attributes(indices), "labels": self.labels[indices]}


def _preprocessing(spec: InputSpec) -> tuple[object, ...]:
    """Return all of an input's properties that decide about pixels."""
    return spec.shape, spec.resize, spec.polarity, spec.subject


def _content(image: str | os.PathLike[str] | NDArray[np.uint8]) -> bytes:
    if isinstance(image, np.ndarray):
        return f"{image.shape}".encode() + image.tobytes()
    try:
        return Path(image).read_bytes()
    except OSError as error:
        raise ImageError(f"'{image}' cannot be read: {error.strerror}") from error
