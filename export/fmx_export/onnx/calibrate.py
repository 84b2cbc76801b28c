"""Calibration of int8 ONNX: the range of each activation over the calibration images.

The float model is run with onnxruntime on each calibration image, and every float tensor of its
graph is read. `fmx_export.common.calibration_ranges` makes a range of the values of each tensor;
`fmx_export.onnx.quantize` takes the scales and zero points from these ranges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import onnxruntime

from fmx_export.common.calibration import model_inputs
from fmx_export.common.calibration_ranges import tensor_ranges

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from fmx_export.common.calibration_ranges import Ranges
    from fmx_export.common.quantization_config import QuantizationConfig
    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["calibrate_onnx"]

_LOG_ERRORS = 3
"""onnxruntime's log level that leaves out warnings."""


def calibrate_onnx(
    prepared: onnx.ModelProto,
    *,
    spec: InputSpec,
    calibration: NDArray[np.uint8],
    config: QuantizationConfig,
) -> Ranges:
    """Return the range of each float tensor of a model over the calibration images.

    Args:
        prepared: a float model, as `fmx_export.onnx.quantize.prepare_onnx` returns it.
        spec: the Keras model's input, float32.
        calibration: calibration images, uint8 ``(n, height, width, channels)``, 0 to 255.
        config: names the calibration method (min-max, percentile or entropy).

    Returns:
        Tensor name -> smallest and largest value. Every range includes zero.
    """
    return tensor_ranges(lambda: _activations(prepared, spec, calibration), config.calibration)


def _activations(
    model: onnx.ModelProto, spec: InputSpec, calibration: NDArray[np.uint8]
) -> Iterator[Mapping[str, NDArray[np.float32]]]:
    """Yield the values of all float tensors, by tensor name, for one image after the other."""
    session = _session(_with_all_outputs(model))
    image_name = session.get_inputs()[0].name
    output_names = [output.name for output in session.get_outputs()]
    for tensor in model_inputs(calibration, spec):
        values = session.run(output_names, {image_name: tensor})
        yield {image_name: tensor, **dict(zip(output_names, values, strict=True))}


def _with_all_outputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of the model in which every float tensor is an output of the graph."""
    inferred = onnx.shape_inference.infer_shapes(model)
    graph = inferred.graph
    outputs = {output.name for output in graph.output}
    graph.output.extend(
        value
        for value in graph.value_info
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT and value.name not in outputs
    )
    return inferred


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """Open a model without graph optimizations, which would remove tensors."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = _LOG_ERRORS
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
