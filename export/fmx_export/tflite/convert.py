"""Keras model -> TFLite in float32, as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from fmx_runtime.errors import ExportError
from fmx_runtime.images.preprocess import to_tensor
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["export_tflite", "quantizing_converter"]


def export_tflite(model: Any, *, spec: InputSpec) -> bytes:
    """Convert a Keras image classifier to float32 TFLite, for one image at a time.

    Args:
        model: built Keras model, float input ``(n, height, width, channels)``.
        spec: the Keras model's input.

    Returns:
        The flatbuffer.

    Raises:
        ExportError: TensorFlow cannot convert the model.
    """
    try:
        return bytes(_converter(model, spec).convert())
    # the converter raises its own types, RuntimeError and ValueError among others
    except Exception as error:
        raise ExportError(f"cannot convert to float32 TFLite: {error_summary(error)}") from error


def quantizing_converter(model: Any, spec: InputSpec, calibration: NDArray[np.uint8]) -> Any:
    """TensorFlow's own way to int8, which its debugger of layers needs.

    Args:
        model: built Keras model.
        spec: its input.
        calibration: uint8 ``(n, height, width, channels)``; sets the activations' ranges.

    Returns:
        `tf.lite.TFLiteConverter`, set up for full integer quantization.
    """
    converter = _converter(model, spec)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.representative_dataset = lambda: (
        [to_tensor(pixels[np.newaxis], spec)] for pixels in calibration
    )
    return converter


def _converter(model: Any, spec: InputSpec) -> Any:
    served = _Served(model, spec)
    return tf.lite.TFLiteConverter.from_concrete_functions(
        [served.answer.get_concrete_function()], served
    )


class _Served(tf.Module):  # type: ignore[misc]
    """A Keras model as the function that is converted, with the variables that it reads.

    The converter finds only variables that `tf.Module` tracks, and Keras 3 wraps its own; without
    them the file's weights are never initialized, and it answers NaN.
    """

    def __init__(self, model: Any, spec: InputSpec) -> None:
        super().__init__()
        self.variables_read = [variable.value for variable in model.variables]
        # one image at a time: every shape in the file is a constant
        signature = [tf.TensorSpec((1, *spec.shape), tf.float32, name="image")]
        self.answer = tf.function(lambda image: model(image, training=False), signature)
