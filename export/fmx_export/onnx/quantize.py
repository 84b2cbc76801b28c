"""Quantize a float ONNX model to int8 with onnxruntime's quantizer.

The steps: `prepare_onnx`, `fmx_export.onnx.calibrate.calibrate_onnx`, `quantize_onnx`, and
`fmx_export.onnx.uint8_input.to_uint8_input`. `fmx_export.onnx.quantizer.OnnxQuantizer` does them
in this order.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.calibrate import TensorData, TensorsData, save_tensors_data
from onnxruntime.quantization.shape_inference import quant_pre_process

from fmx_export.common.quantization_config import WEIGHT_BITS
from fmx_export.onnx.space_to_depth import space_to_depth
from fmx_export.onnx.uint8_input import first_computed_tensor, input_quantization
from fmx_runtime.errors import ExportError
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from fmx_export.common.calibration_ranges import Ranges
    from fmx_export.common.quantization_config import QuantizationConfig, Target
    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["fuse_operators", "prepare_onnx", "quantize_onnx"]

_REDUCED_RANGE_BITS = 7
"""Bits of a weight with onnxruntime's option ``reduce_range``; 8 without it."""


def prepare_onnx(float_model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the float model that is quantized: space-to-depth applied, operators fused.

    Args:
        float_model: as `fmx_export.onnx.convert.export_onnx` returns it; not changed.

    Raises:
        ExportError: onnxruntime cannot read it.
    """
    model = onnx.ModelProto()
    model.CopyFrom(float_model)
    space_to_depth(model.graph)
    return fuse_operators(model)


def fuse_operators(float_model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with constants folded and batch normalization fused, by onnxruntime.

    Args:
        float_model: a float model whose shapes are all constant; not changed.

    Raises:
        ExportError: onnxruntime cannot read it.
    """
    with tempfile.TemporaryDirectory(prefix="fmx-") as folder:
        plain, fused = Path(folder, "plain.onnx"), Path(folder, "fused.onnx")
        onnx.save(float_model, plain)
        try:
            # all shapes are constant; symbolic shape inference leaves a file behind where it fails
            quant_pre_process(plain, fused, skip_symbolic_shape=True)
            return onnx.load(fused)
        # onnxruntime's exceptions derive from Exception and share no public base
        except Exception as error:
            raise ExportError(
                f"cannot prepare the model for int8 ONNX: {error_summary(error)}"
            ) from error


def quantize_onnx(
    prepared: onnx.ModelProto,
    *,
    spec: InputSpec,
    ranges: Ranges,
    config: QuantizationConfig,
    target: Target,
) -> onnx.ModelProto:
    """Quantize a model to QDQ: float operators between QuantizeLinear and DequantizeLinear.

    Weights are int8 per channel, activations are uint8. onnxruntime runs this scheme fastest, and
    only with it an image's byte is its own quantized value. A softmax is always excluded from
    quantization, so probabilities are not rounded to 8 bits.

    Args:
        prepared: as `prepare_onnx` returns it; not changed.
        spec: the Keras model's input, float32. The input's scale and zero point are taken from
            it, not from ``ranges``.
        ranges: of the activations, see `fmx_export.onnx.calibrate.calibrate_onnx`.
        config: names the nodes that are excluded from quantization.
        target: the processor, see `fmx_export.common.quantization_config.WEIGHT_BITS`.

    Returns:
        A model with float input, see `fmx_export.onnx.uint8_input.to_uint8_input`.

    Raises:
        ExportError: the model cannot be quantized, or its input range does not include zero.
    """
    graph = prepared.graph
    scale, zero_point = input_quantization(spec)
    input_override = {first_computed_tensor(graph): [{"scale": scale, "zero_point": zero_point}]}
    softmaxes = [node.name for node in graph.node if node.op_type == "Softmax"]
    try:
        with tempfile.TemporaryDirectory(prefix="fmx-") as folder:
            quantized = Path(folder, "quantized.onnx")
            quantize_static(
                prepared,
                quantized,
                None,
                calibration_cache_path=_write_ranges(ranges, Path(folder, "ranges.json")),
                calibrate_method=CalibrationMethod.MinMax,
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=WEIGHT_BITS[target] == _REDUCED_RANGE_BITS,
                nodes_to_exclude=[*config.excluded_layers, *softmaxes],
                extra_options={"TensorQuantOverrides": input_override},
            )
            return onnx.load(quantized)
    # onnxruntime's exceptions derive from Exception and share no public base
    except Exception as error:
        raise ExportError(f"cannot quantize to int8 ONNX: {error_summary(error)}") from error


def _write_ranges(ranges: Ranges, path: Path) -> Path:
    """Write the ranges as the calibration cache that onnxruntime's quantizer reads."""
    data = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, (low, high) in ranges.items()
    }
    save_tensors_data(TensorsData(CalibrationMethod.MinMax, data), path)
    return path
