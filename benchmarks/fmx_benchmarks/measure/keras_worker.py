"""The worker process that measures a Keras model, see `fmx_runtime.bench.worker`.

::

    python -m fmx_benchmarks.measure.keras_worker MODEL.keras IMAGES.npy TASK METADATA
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from fmx_runtime.bench.worker import serve
from fmx_runtime.classifier import softmax
from fmx_runtime.errors import BackendError, ModelFileError
from fmx_runtime.images.preprocess import to_tensor
from fmx_runtime.model_file.metadata import ModelMetadata
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["KerasPredictor"]


class KerasPredictor:
    """A Keras model, called in the fastest way that Keras offers.

    A single image is predicted by the model compiled with ``tf.function``, because ``predict``
    takes milliseconds to start; several images by ``predict_on_batch``. The pixels go through the
    same preprocessing as for the model files.
    """

    def __init__(self, path: str, metadata: ModelMetadata, threads: int) -> None:
        """Load the model.

        Args:
            path: a ``.keras`` file.
            metadata: of a float file that was exported from it.
            threads: threads for one operation.

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
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        try:
            self._model: Any = keras.models.load_model(path, compile=False)
        # Keras raises ValueError, TypeError, OSError and types of h5py and zipfile
        except Exception as error:
            raise ModelFileError(
                f"'{path}' cannot be loaded by Keras {keras.__version__}: {error_summary(error)}"
            ) from error
        signature = [tf.TensorSpec((1, *metadata.input.shape), tf.float32)]
        self._call = tf.function(lambda x: self._model(x, training=False), signature)
        self._metadata = metadata
        self.runtime = f"TensorFlow {tf.__version__}, Keras {keras.__version__}"

    def predict_one(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Predict one image, see `Predictor.predict_one`."""
        return self._to_scores(self._call(to_tensor(pixels, self._metadata.input)).numpy())

    def predict(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Predict n images, see `Predictor.predict`."""
        tensors = to_tensor(pixels, self._metadata.input)
        return self._to_scores(self._model.predict_on_batch(tensors))

    def _to_scores(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        return softmax(outputs) if self._metadata.output == "logits" else outputs


if __name__ == "__main__":
    *arguments, metadata_text = sys.argv[1:]
    metadata = ModelMetadata.from_json(metadata_text)
    sys.exit(serve(arguments, lambda path, threads: KerasPredictor(path, metadata, threads)))
