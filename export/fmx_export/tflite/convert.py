"""Convert a Keras model to TFLite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from fmx_export.common.calibration import model_inputs
from fmx_runtime.errors import ExportError
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["export_tflite", "quantizing_converter"]


def export_tflite(model: Any, *, spec: InputSpec) -> bytes:
    """Convert a Keras image classifier to float32 TFLite with a batch size of one.

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
    """Return TensorFlow's own int8 converter, which its quantization debugger needs.

    Args:
        model: built Keras model.
        spec: its input.
        calibration: uint8 ``(n, height, width, channels)``.

    Returns:
        `tf.lite.TFLiteConverter`, set up for full integer quantization.
    """
    converter = _converter(model, spec)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.representative_dataset = lambda: (
        [tensor] for tensor in model_inputs(calibration, spec)
    )
    return converter


def _converter(model: Any, spec: InputSpec) -> Any:
    module = _ServingModule(model, spec)
    return tf.lite.TFLiteConverter.from_concrete_functions(
        [module.serve.get_concrete_function()], module
    )


class _ServingModule(tf.Module):  # type: ignore[misc]
    """A Keras model as a `tf.Module` with a serving function.

    The converter finds only variables that a `tf.Module` tracks, and Keras 3 wraps its own. Without
    this module the weights in the file would not be initialized, and the output would be NaN.
    """

    def __init__(self, model: Any, spec: InputSpec) -> None:
        super().__init__()
        self.tracked_variables = [variable.value for variable in model.variables]
        # with a fixed batch size of one, all shapes in the file are constant
        signature = [tf.TensorSpec((1, *spec.shape), tf.float32, name="image")]
        self.serve = tf.function(lambda image: model(image, training=False), signature)
