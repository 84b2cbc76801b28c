"""A model file as an object that answers images."""

from __future__ import annotations

import functools
import os
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fmx_runtime.backends.base import open_backend
from fmx_runtime.errors import BackendError, ImageError, ModelFileError
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


# half the time of calling the type
_prediction: Callable[[tuple[str, float]], Prediction] = functools.partial(
    tuple.__new__, Prediction
)


class Classifier:
    """Answers images with labels, by what one model file says of itself.

    Thread-safe: threads that share one take turns at its interpreter, while they read and prepare
    their images at the same time. For more answers a second give each thread its own.

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
        pixels: InputRange | None = None,
        photo: bool | None = None,
    ) -> None:
        """Open a model file, check that it is whole, and make it ready to answer.

        Args:
            path: a ``.tflite`` or ``.onnx`` file written by ``fmx export``, or any other one of a
                classifier, if ``labels`` are given.
            backend: the interpreter; None takes the first installed one that fits.
            threads: for one inference; small networks are fastest with 1.
            labels: of a model that carries no metadata, which is tried in a process of its own first.
            pixels: what 0 and 255 become for such a model, see `fmx_runtime.model_file.external_model.describe`.
            photo: whether images are photos, to a model of garments; None decides by each
                image, see `fmx_runtime.images.preprocess.to_pixels`.

        Raises:
            ModelFileError: missing, no model, damaged, without metadata, or the metadata does not
                match the model.
            BackendError: no interpreter for it is installed.
        """
        if threads < 1:
            raise ValueError(f"threads must be at least 1. Received: threads={threads}")
        content = read_model(path)
        try:
            if labels is None:
                self.metadata = read_checked_metadata(content)
            else:
                from fmx_runtime.model_file.external_model import describe

                self.metadata = describe(
                    content, labels=labels, pixels=pixels, backend=backend, threads=threads
                )
            # what follows the model is not covered by its checksum
            model = content[: self.metadata.model_bytes]
            self._backend = open_backend(model, backend=backend, threads=threads)
            _check_match(self.metadata, self._backend)
        except (ModelFileError, BackendError) as error:
            raise type(error)(f"'{path}': {error}") from error
        self._turn = threading.Lock()
        self._photo = photo
        # looked at for each answer
        self._spec, self._labels = self.metadata.input, self.metadata.labels
        self._classes = range(len(self._labels))
        self._bytes_in, self._logits = self._spec.dtype == "uint8", self.metadata.output == "logits"

    @property
    def backend(self) -> str:
        """Name and version of the interpreter, for example ``ai-edge-litert 2.3.0``."""
        return self._backend.name

    def predict(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Class probabilities of images that already have the network's size.

        Args:
            pixels: uint8 ``(n, height, width, channels)``, values 0 to 255.

        Returns:
            float32 ``(n, classes)``.

        Raises:
            ValueError: another shape or dtype.
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
        """The most probable labels of one image, best first.

        Args:
            image: a path, an encoded file's bytes, a Pillow image, or a uint8 array ``(h, w)``,
                ``(h, w, 1)`` or ``(h, w, 3)`` of any size, values 0 to 255.
            top_k: how many labels, at least 1; all of them where there are fewer.

        Returns:
            Labels and scores; of equally probable ones, those come first that do in the metadata.

        Raises:
            ImageError: the image cannot be read.
        """
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1. Received: top_k={top_k}")
        scores = self._scores(to_pixels(image, self._spec, photo=self._photo))
        if top_k == 1:
            best = [scores.index(max(scores))]
        else:
            best = sorted(self._classes, key=scores.__getitem__, reverse=True)[:top_k]
        return tuple([_prediction((self._labels[index], scores[index])) for index in best])

    def classify_batch(
        self, images: Iterable[ImageLike], top_k: int = 3
    ) -> list[tuple[Prediction, ...]]:
        """The most probable labels of each of several images, in their order.

        They are answered one after the other, as exported networks take one image at a time:
        memory does not grow with their number, but for the answers.

        Args:
            images: each as for `classify`, kinds may be mixed; an array ``(n, h, w, c)`` is n.
            top_k: see `classify`.

        Raises:
            ImageError: one of them cannot be read; the message says which. To go on after one,
                call `classify` for each.
        """
        answers = []
        for index, image in enumerate(images):
            try:
                answers.append(self.classify(image, top_k))
            except ImageError as error:
                raise ImageError(f"image {index}: {error}") from error
        return answers

    def fork(self) -> int:
        """`os.fork`, while no other thread is at the interpreter: so that the copy can answer."""
        with self._turn:
            return os.fork()

    def _scores(self, pixels: NDArray[np.uint8]) -> list[float]:
        """Probabilities, as float32 has them, of one image ``(height, width, channels)``."""
        tensor = pixels[np.newaxis]
        if not self._bytes_in:
            tensor = to_tensor(tensor, self._spec)
        with self._turn:
            scores = self._backend.scores(tensor)
        if self._logits:
            scores = softmax(np.array(scores, np.float32)).tolist()
        return scores


def _check_match(metadata: ModelMetadata, backend: Backend) -> None:
    """Make sure that the metadata describes the model that is in the file."""
    found: dict[str, tuple[Any, Any]] = {
        "input shape": ((1, *metadata.input.shape), backend.input_shape),
        "input type": (metadata.input.dtype, backend.input_dtype),
        "number of classes": (len(metadata.labels), backend.output_size),
    }
    for what, (stated, actual) in found.items():
        if stated != actual:
            raise ModelFileError(f"{what}: the metadata says {stated}, the model has {actual}")


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits as probabilities: float32, of the same shape; the last axis sums to 1.

    Computed in float64 and rounded once, as processors differ in the last bits of an exponential.
    """
    exact = logits.astype(np.float64)
    exponents = np.exp(exact - exact.max(axis=-1, keepdims=True))
    result: NDArray[np.float64] = exponents / exponents.sum(axis=-1, keepdims=True)
    return result.astype(np.float32)
