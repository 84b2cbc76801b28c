"""A model file as an object that answers pictures."""

from __future__ import annotations

import functools
import os
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fmx_runtime.backend import open_backend
from fmx_runtime.carrier import read_model, whole_card
from fmx_runtime.errors import BackendError, ModelFileError, PictureError
from fmx_runtime.preprocess import to_pixels, to_tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from fmx_runtime.backend import Backend, BackendName
    from fmx_runtime.card import ModelCard
    from fmx_runtime.foreign import PixelRange
    from fmx_runtime.preprocess import Picture

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
    """Answers pictures with labels, by what one model file says of itself.

    Thread-safe: threads that share one take turns at its interpreter, while they read and prepare
    their pictures at the same time. For more answers a second give each thread its own.

    Example:
        >>> classifier = Classifier("baseline.int8.tflite")  # doctest: +SKIP
        >>> classifier.classify("boot.png", top_k=1)  # doctest: +SKIP
        (Prediction(label='Ankle boot', score=0.98),)

    Attributes:
        card: the file's model card.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        backend: BackendName | None = None,
        threads: int = 1,
        labels: Sequence[str] | None = None,
        pixels: PixelRange | None = None,
        photo: bool | None = None,
    ) -> None:
        """Open a model file, check that it is whole, and make it ready to answer.

        Args:
            path: a ``.tflite`` or ``.onnx`` file written by ``fmx export``, or any other one of a
                classifier, if ``labels`` are given.
            backend: the interpreter; None takes the first installed one that fits.
            threads: for one inference; small networks are fastest with 1.
            labels: of a model that carries no card, which is tried in a process of its own first.
            pixels: what 0 and 255 become for such a model, see `fmx_runtime.foreign.describe`.
            photo: whether pictures are photographs, to a model of garments; None decides by each
                picture, see `fmx_runtime.preprocess.to_pixels`.

        Raises:
            ModelFileError: missing, no model, damaged, without a card, or the card does not
                match the model.
            BackendError: no interpreter for it is installed.
        """
        if threads < 1:
            raise ValueError(f"threads must be at least 1. Received: threads={threads}")
        content = read_model(path)
        try:
            if labels is None:
                self.card = whole_card(content)
            else:
                from fmx_runtime.foreign import describe

                self.card = describe(
                    content, labels=labels, pixels=pixels, backend=backend, threads=threads
                )
            # what follows the model is not covered by its checksum
            model = content[: self.card.model_bytes]
            self._backend = open_backend(model, backend=backend, threads=threads)
            _check_match(self.card, self._backend)
        except (ModelFileError, BackendError) as error:
            raise type(error)(f"'{path}': {error}") from error
        self._turn = threading.Lock()
        self._photo = photo
        # looked at for each answer
        self._spec, self._labels = self.card.input, self.card.labels
        self._classes = range(len(self._labels))
        self._bytes_in, self._logits = self._spec.dtype == "uint8", self.card.output == "logits"

    @property
    def backend(self) -> str:
        """Name and version of the interpreter, for example ``ai-edge-litert 2.3.0``."""
        return self._backend.name

    def predict(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Class probabilities of pictures that already have the network's size.

        Args:
            pixels: uint8 ``(n, height, width, channels)``, values 0 to 255.

        Returns:
            float32 ``(n, classes)``.

        Raises:
            ValueError: another shape or dtype.
        """
        spec = self.card.input
        if pixels.dtype != np.uint8 or pixels.shape[1:] != spec.shape:
            raise ValueError(
                f"pixels must be uint8 (n, {', '.join(map(str, spec.shape))}). "
                f"Received: {pixels.dtype} {pixels.shape}"
            )
        rows = np.empty((len(pixels), len(self.card.labels)), np.float32)
        for index, picture in enumerate(pixels):
            rows[index] = self._scores(picture)
        return rows

    def classify(self, picture: Picture, top_k: int = 3) -> tuple[Prediction, ...]:
        """The most probable labels of one picture, best first.

        Args:
            picture: a path, an encoded file's bytes, a Pillow image, or a uint8 array ``(h, w)``,
                ``(h, w, 1)`` or ``(h, w, 3)`` of any size, values 0 to 255.
            top_k: how many labels, at least 1; all of them where there are fewer.

        Returns:
            Labels and scores; of equally probable ones, those come first that do in the card.

        Raises:
            PictureError: the picture cannot be read.
        """
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1. Received: top_k={top_k}")
        scores = self._scores(to_pixels(picture, self._spec, photo=self._photo))
        if top_k == 1:
            best = [scores.index(max(scores))]
        else:
            best = sorted(self._classes, key=scores.__getitem__, reverse=True)[:top_k]
        return tuple([_prediction((self._labels[index], scores[index])) for index in best])

    def classify_batch(
        self, pictures: Iterable[Picture], top_k: int = 3
    ) -> list[tuple[Prediction, ...]]:
        """The most probable labels of each of several pictures, in their order.

        They are answered one after the other, as exported networks take one picture at a time:
        memory does not grow with their number, but for the answers.

        Args:
            pictures: each as for `classify`, kinds may be mixed; an array ``(n, h, w, c)`` is n.
            top_k: see `classify`.

        Raises:
            PictureError: one of them cannot be read; the message says which. To go on after one,
                call `classify` for each.
        """
        answers = []
        for index, picture in enumerate(pictures):
            try:
                answers.append(self.classify(picture, top_k))
            except PictureError as error:
                raise PictureError(f"picture {index}: {error}") from error
        return answers

    def fork(self) -> int:
        """`os.fork`, while no other thread is at the interpreter: so that the copy can answer."""
        with self._turn:
            return os.fork()

    def _scores(self, pixels: NDArray[np.uint8]) -> list[float]:
        """Probabilities, as float32 has them, of one picture ``(height, width, channels)``."""
        tensor = pixels[np.newaxis]
        if not self._bytes_in:
            tensor = to_tensor(tensor, self._spec)
        with self._turn:
            scores = self._backend.scores(tensor)
        if self._logits:
            scores = softmax(np.array(scores, np.float32)).tolist()
        return scores


def _check_match(card: ModelCard, backend: Backend) -> None:
    """Make sure that the card describes the model that is in the file."""
    found: dict[str, tuple[Any, Any]] = {
        "input shape": ((1, *card.input.shape), backend.input_shape),
        "input type": (card.input.dtype, backend.input_dtype),
        "number of classes": (len(card.labels), backend.output_size),
    }
    for what, (stated, actual) in found.items():
        if stated != actual:
            raise ModelFileError(f"{what}: the card says {stated}, the model has {actual}")


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits as probabilities: float32, of the same shape; the last axis sums to 1.

    Computed in float64 and rounded once, as processors differ in the last bits of an exponential.
    """
    exact = logits.astype(np.float64)
    exponents = np.exp(exact - exact.max(axis=-1, keepdims=True))
    result: NDArray[np.float64] = exponents / exponents.sum(axis=-1, keepdims=True)
    return result.astype(np.float32)
