"""Calibration of a float TFLite file: the range of each activation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils

from fmx_export.common.calibration import model_inputs
from fmx_export.common.calibration_ranges import tensor_ranges
from fmx_export.tflite.interpreter import input_name, quiet
from fmx_runtime.errors import ExportError
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from fmx_export.common.calibration_ranges import Ranges
    from fmx_export.common.quantization_config import QuantizationConfig
    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["calibrate_tflite"]


def calibrate_tflite(
    float_model: bytes,
    *,
    spec: InputSpec,
    calibration: NDArray[np.uint8],
    config: QuantizationConfig,
) -> Ranges:
    """Run the float model on the calibration images and take the range of each activation.

    Args:
        float_model: as `export_tflite` returns it.
        spec: the Keras model's input. It alone sets the input's range, whatever pixel values the
            calibration images have.
        calibration: uint8 ``(n, height, width, channels)``.
        config: its calibration method is used.

    Raises:
        ExportError: the interpreter cannot run the model.
    """
    try:
        ranges = tensor_ranges(
            lambda: _activations(float_model, spec, calibration), config.calibration
        )
    except (ValueError, RuntimeError) as error:
        raise ExportError(f"cannot calibrate TFLite: {error_summary(error)}") from error
    return {**ranges, input_name(float_model): (spec.offset, 255 * spec.scale + spec.offset)}


def _activations(
    float_model: bytes, spec: InputSpec, calibration: NDArray[np.uint8]
) -> Iterator[Mapping[str, NDArray[np.float32]]]:
    """Yield the float outputs of all operators by tensor name, for one image after another.

    Weights are left out: with a range for them, ai-edge-quantizer would quantize them per tensor,
    not per channel.
    """
    with quiet():
        interpreter = Interpreter(model_content=float_model, experimental_preserve_all_tensors=True)
        interpreter.allocate_tensors()
    input_index = interpreter.get_input_details()[0]["index"]
    graph = flatbuffer_utils.read_model_from_bytearray(bytearray(float_model)).subgraphs[0]
    operator_outputs = {index for operator in graph.operators for index in operator.outputs}
    activations = [
        (tensor["index"], tensor["name"])
        for tensor in interpreter.get_tensor_details()
        if tensor["index"] in operator_outputs and tensor["dtype"] == np.float32
    ]
    for tensor in model_inputs(calibration, spec):
        interpreter.set_tensor(input_index, tensor)
        interpreter.invoke()
        yield {name: interpreter.get_tensor(index) for index, name in activations}
