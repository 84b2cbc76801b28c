"""What is measured, behind one face: a model file in its interpreter, or a Keras model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from fmx_runtime.card import ModelCard
from fmx_runtime.classifier import Classifier, softmax
from fmx_runtime.errors import BackendError, ModelFileError
from fmx_runtime.preprocess import to_tensor
from fmx_runtime.reason import reason

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FileSubject", "KerasSubject", "Subject", "open_subject"]


class Subject(Protocol):
    """A model, ready to answer; pixels in, probabilities out.

    Attributes:
        card_text: the model card's JSON.
        runtime: interpreter and version.
    """

    card_text: str
    runtime: str

    def answer(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Answer one picture, uint8 ``(1, height, width, channels)``: float32 ``(1, classes)``."""

    def predict(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Answer n pictures, uint8 ``(n, height, width, channels)``: float32 ``(n, classes)``."""


class FileSubject:
    """A model file, as a device runs it: one picture after the other, on one thread."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            ModelFileError: it is no model file that describes itself.
            BackendError: no interpreter for it is installed.
        """
        classifier = Classifier(path, threads=1)
        self.card_text = classifier.card.to_json()
        self.runtime = classifier.backend
        self.answer = self.predict = classifier.predict


class KerasSubject:
    """A Keras model, as its users run it at its best.

    One picture: a call of the model, compiled with ``tf.function``. Many: ``model.predict``. The
    pixels go through the preprocessing of the model files.
    """

    def __init__(self, path: Path, card: ModelCard) -> None:
        """Load the model.

        Args:
            path: a ``.keras`` file.
            card: of a file that was exported from it.

        Raises:
            BackendError: TensorFlow is not installed.
            ModelFileError: Keras cannot load the file.
        """
        try:
            import keras
            import tensorflow as tf
        except ImportError as error:
            raise BackendError(
                f"'{path}' needs TensorFlow, which cannot be loaded ({error}): install "
                "tensorflow-cpu, or benchmark the model files alone"
            ) from error
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        try:
            self._model: Any = keras.models.load_model(path, compile=False)
        # Keras raises ValueError, TypeError, OSError and types of h5py and zipfile
        except Exception as error:
            raise ModelFileError(
                f"'{path}' cannot be loaded by Keras {keras.__version__}: {reason(error)}"
            ) from error
        signature = [tf.TensorSpec((1, *card.input.shape), tf.float32)]
        self._call = tf.function(lambda x: self._model(x, training=False), signature)
        self._card = card
        self.card_text = card.to_json()
        self.runtime = f"TensorFlow {tf.__version__}, Keras {keras.__version__}"

    def answer(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Subject.answer`."""
        return self._finish(self._call(to_tensor(pixels, self._card.input)).numpy())

    def predict(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Subject.predict`."""
        tensors = to_tensor(pixels, self._card.input)
        return self._finish(self._model.predict(tensors, batch_size=256, verbose=0))

    def _finish(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return softmax(rows) if self._card.output == "logits" else rows


def open_subject(path: Path, keras_card: str | None) -> Subject:
    """Open a model.

    Args:
        path: of its file.
        keras_card: for a Keras model the card of a float file exported from it, as JSON; None for
            a model file.

    Raises:
        ModelFileError: it cannot be opened.
        BackendError: what runs it is not installed.
    """
    if keras_card is None:
        return FileSubject(path)
    return KerasSubject(path, ModelCard.from_json(json.dumps(json.loads(keras_card))))
