"""Keras model -> TFLite, as bytes."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from fmx_runtime.errors import ExportError
from fmx_runtime.preprocess import to_tensor
from fmx_runtime.reason import reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fmx_runtime.card import InputSpec, Precision

__all__ = ["export_tflite"]


def export_tflite(
    model: Any, *, precision: Precision, spec: InputSpec, calibration: NDArray[np.uint8]
) -> bytes:
    """Convert a Keras image classifier to TFLite, for one picture at a time.

    ``int8`` is full integer: int8 weights per channel, int8 activations, the pixels' own bytes in
    and uint8 probabilities out.

    Args:
        model: built Keras model, float input ``(n, height, width, channels)``.
        precision: of the weights and activations.
        spec: the Keras model's input.
        calibration: uint8 ``(n, height, width, channels)``, as `calibrate.calibration_pixels`
            gives it; sets the activations' ranges, used for ``int8`` only.

    Returns:
        The flatbuffer.

    Raises:
        ExportError: TensorFlow cannot convert the model, or int8 pixels do not fit.
    """
    try:
        content = _convert(model, precision, spec, calibration)
    # the converter raises its own types, RuntimeError and ValueError among others
    except Exception as error:
        raise ExportError(f"cannot convert to {precision} TFLite: {reason(error)}") from error
    if precision == "int8":
        _check_raw_pixels(content, spec)
    return content


def _convert(
    model: Any, precision: Precision, spec: InputSpec, calibration: NDArray[np.uint8]
) -> bytes:
    served = _Served(model, spec)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [served.answer.get_concrete_function()], served
    )
    if precision == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: _representative(calibration, spec)
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    with warnings.catch_warnings():
        # "Statistics for quantized inputs were expected": the calibration gives them
        warnings.simplefilter("ignore", UserWarning)
        return bytes(converter.convert())


class _Served(tf.Module):  # type: ignore[misc]
    """A Keras model as the function that is converted, with the variables that it reads.

    The converter finds only variables that `tf.Module` tracks, and Keras 3 wraps its own; without
    them the file's weights are never initialized, and it answers NaN.
    """

    def __init__(self, model: Any, spec: InputSpec) -> None:
        super().__init__()
        self.variables_read = [variable.value for variable in model.variables]
        # one picture at a time: every shape in the file is a constant
        signature = [tf.TensorSpec((1, *spec.shape), tf.float32, name="image")]
        self.answer = tf.function(lambda image: model(image, training=False), signature)


def _representative(
    calibration: NDArray[np.uint8], spec: InputSpec
) -> Iterator[list[NDArray[np.float32]]]:
    for pixels in calibration:
        yield [to_tensor(pixels[np.newaxis], spec)]


def _check_raw_pixels(content: bytes, spec: InputSpec) -> None:
    """Make sure that a pixel's byte is its own quantized value."""
    interpreter = Interpreter(model_content=content)
    scale, zero_point = interpreter.get_input_details()[0]["quantization"]
    same_scale = math.isclose(scale, spec.scale, rel_tol=1e-3)
    if not same_scale or abs(zero_point + spec.offset / spec.scale) > 0.5:  # noqa: PLR2004
        raise ExportError(
            f"int8 TFLite: pixels mean {spec.scale:g} * byte + {spec.offset:g}, the converter "
            f"chose {scale:g} * (byte - {zero_point}); the calibration pictures must span 0 to 255"
        )
