"""Classify images with the model of one file."""

from __future__ import annotations

import functools
import math
import os
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fmx_runtime.backends.selection import open_backend
from fmx_runtime.errors import BackendError, ImageError, ModelFileError, PredictionError
from fmx_runtime.images.decode import image_name
from fmx_runtime.images.preprocess import to_pixels, to_tensor
from fmx_runtime.model_file.container import read_checked_metadata, read_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from fmx_runtime.backends.base import Backend, BackendName
    from fmx_runtime.images.preprocess import ImageLike
    from fmx_runtime.model_file.external_model import InputRange
    from fmx_runtime.model_file.metadata import ModelMetadata

__all__ = ["Classifier", "Prediction", "softmax"]


class Prediction(NamedTuple):
    """One label and its score, a probability between 0 and 1."""

    label: str
    score: float


# takes half as long as calling the type
_new_prediction: Callable[[tuple[str, float]], Prediction] = functools.partial(
    tuple.__new__, Prediction
)


class Classifier:
    """An image classifier: the model of one file, with the labels and preprocessing it states.

    Thread-safe. Threads that share a classifier read and preprocess their images at the same time
    and take turns at its interpreter. For higher throughput give each thread its own.

    Example:
        >>> classifier = Classifier("baseline.int8.tflite")  # doctest: +SKIP
        >>> classifier.classify("boot.png", top_k=1)  # doctest: +SKIP
        (Prediction(label='Ankle boot', score=0.98),)

    Attributes:
        metadata: the file's model metadata.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        backend: BackendName | None = None,
        threads: int = 1,
        labels: Sequence[str] | None = None,
        input_range: InputRange | None = None,
        segment_garment: bool | None = None,
    ) -> None:
        """Open a model file after checking its checksums.

        Args:
            path: a ``.tflite`` or ``.onnx`` file written by ``fmx export``. With ``labels``, also
                an external model: one that was written by another tool.
            backend: the interpreter; None takes the first installed one that runs the format.
            threads: number of threads for one inference; small networks are fastest with 1.
            labels: class names of an external model, in the order of its outputs. Such a model
                is run in a sandbox process first.
            input_range: the values that an external model expects for pixel values from 0 to
                255; None takes them from the file, see
                `fmx_runtime.model_file.external_model.describe_external_model`.
            segment_garment: for a model of garments, whether to segment the garment in each
                image; None does so in photos, see `fmx_runtime.images.preprocess.to_pixels`.

        Raises:
            ModelFileError: the file is missing, is not a model, is damaged, has no metadata, or
                its metadata does not match its model.
            BackendError: no interpreter for the model is installed.
        """
        if threads < 1:
            raise ValueError(f"threads must be at least 1. Received: threads={threads}")
        content = read_model(path)
        try:
            if labels is None:
                self.metadata = read_checked_metadata(content)
            else:
                from fmx_runtime.model_file.external_model import describe_external_model

                self.metadata = describe_external_model(
                    content,
                    labels=labels,
                    input_range=input_range,
                    backend=backend,
                    threads=threads,
                )
            # the checksum does not cover what follows the model
            model = content[: self.metadata.model_bytes]
            self._backend = open_backend(model, backend=backend, threads=threads)
            _check_match(self.metadata, self._backend)
        except (ModelFileError, BackendError) as error:
            raise type(error)(f"'{path}': {error}") from error
        self._interpreter_lock = threading.Lock()
        self._segment_garment = segment_garment
        # attributes of the metadata that each inference needs
        self._spec = self.metadata.input
        self._labels = self.metadata.labels
        self._classes = range(len(self._labels))
        self._takes_bytes = self._spec.dtype == "uint8"
        self._returns_logits = self.metadata.output == "logits"

    @property
    def backend(self) -> str:
        """Name and version of the interpreter, for example ``ai-edge-litert 2.3.0``."""
        return self._backend.name

    def predict(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the class probabilities of images that already have the model's input size.

        Args:
            pixels: uint8 ``(n, height, width, channels)``, values 0 to 255.

        Returns:
            float32 ``(n, classes)``.

        Raises:
            ValueError: the array has another shape or dtype.
        """
        spec = self.metadata.input
        if pixels.dtype != np.uint8 or pixels.shape[1:] != spec.shape:
            raise ValueError(
                f"pixels must be uint8 (n, {', '.join(map(str, spec.shape))}). "
                f"Received: {pixels.dtype} {pixels.shape}"
            )
        rows = np.empty((len(pixels), len(self.metadata.labels)), np.float32)
        for index, image in enumerate(pixels):
            rows[index] = self._scores(image)
        return rows

    def classify(self, image: ImageLike, top_k: int = 3) -> tuple[Prediction, ...]:
        """Return the most probable labels of one image, best first.

        Args:
            image: a path, an encoded file's bytes, a Pillow image, or a uint8 array ``(h, w)``,
                ``(h, w, 1)`` or ``(h, w, 3)`` of any size, values 0 to 255.
            top_k: number of labels, at least 1; a model with fewer classes returns all of them.

        Returns:
            Labels and scores. Labels with equal scores keep their order in the metadata.

        Raises:
            ImageError: the image cannot be read.
            PredictionError: a score is NaN or infinite.
            ValueError: ``top_k`` is less than 1.
        """
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1. Received: top_k={top_k}")
        scores = self._scores(to_pixels(image, self._spec, segment_garment=self._segment_garment))
        if not math.isfinite(sum(scores)):
            raise PredictionError(
                f"{image_name(image)} cannot be classified: the scores of the model are not finite "
                "numbers: test the model with 'fmx-run --self-test', or export it again"
            )
        if top_k == 1:
            best = [scores.index(max(scores))]
        else:
            best = sorted(self._classes, key=scores.__getitem__, reverse=True)[:top_k]
        return tuple([_new_prediction((self._labels[index], scores[index])) for index in best])

    def classify_batch(
        self, images: Iterable[ImageLike], top_k: int = 3
    ) -> list[tuple[Prediction, ...]]:
        """Return the most probable labels of each of several images, in their order.

        Images are classified one after the other, because exported models take one at a time.
        Memory grows with the number of predictions only.

        Args:
            images: each as for `classify`, also of different kinds; an array ``(n, h, w, c)`` is
                n images.
            top_k: see `classify`.

        Raises:
            ImageError: an image cannot be read; the message says which one. To skip such images,
                call `classify` for each.
            PredictionError: a score of an image is NaN or infinite; the message says which image.
        """
        predictions = []
        for index, image in enumerate(images):
            try:
                predictions.append(self.classify(image, top_k))
            except (ImageError, PredictionError) as error:
                raise type(error)(f"image {index}: {error}") from error
        return predictions

    def fork(self) -> int:
        """Call `os.fork` while no thread uses the interpreter, so that the child can use it."""
        with self._interpreter_lock:
            return os.fork()

    def _scores(self, pixels: NDArray[np.uint8]) -> list[float]:
        """Return class probabilities, rounded to float32, of one image of the input size."""
        tensor = pixels[np.newaxis]
        if not self._takes_bytes:
            tensor = to_tensor(tensor, self._spec)
        with self._interpreter_lock:
            scores = self._backend.scores(tensor)
        if self._returns_logits:
            scores = softmax(np.array(scores, np.float32)).tolist()
        return scores


def _check_match(metadata: ModelMetadata, backend: Backend) -> None:
    """Raise a `ModelFileError` unless the metadata describes the model that is in the file."""
    found: dict[str, tuple[Any, Any]] = {
        "input shape": ((1, *metadata.input.shape), backend.input_shape),
        "input type": (metadata.input.dtype, backend.input_dtype),
        "number of classes": (len(metadata.labels), backend.output_size),
    }
    for name, (stated, actual) in found.items():
        if stated != actual:
            raise ModelFileError(f"{name}: the metadata says {stated}, the model has {actual}")


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return logits as probabilities.

    Computed in float64 and rounded once, because processors differ in the last bits of an
    exponential.

    Args:
        logits: float32 ``(..., classes)``.

    Returns:
        float32 of the same shape; the last axis sums to 1.
    """
    exact = logits.astype(np.float64)
    exponents = np.exp(exact - exact.max(axis=-1, keepdims=True))
    result: NDArray[np.float64] = exponents / exponents.sum(axis=-1, keepdims=True)
    return result.astype(np.float32)
