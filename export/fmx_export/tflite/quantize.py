"""Quantize a float TFLite file to int8, int16x8, dynamic-range int8 or float16.

The work is done by ai-edge-quantizer; this module writes its recipes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from ai_edge_quantizer import qtyping, quantizer, recipe, recipe_manager

from fmx_export.tflite.interpreter import input_name, quiet
from fmx_runtime.errors import ExportError
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmx_export.common.calibration_ranges import Ranges
    from fmx_export.common.quantization_config import QuantizationConfig

__all__ = ["quantize_tflite", "to_dynamic_range", "to_float16", "to_int16x8"]

_EVERY_NAME = ".*"
_EVERY_NAME_OVERRIDE = "^"
"""A second pattern that matches every tensor name. Of two recipe entries that match, the one whose
pattern was added to the recipe later wins."""

_Operation, _Tensor = qtyping.TFLOperationName, qtyping.TensorQuantizationConfig
_NO_QUANTIZE = quantizer.AlgorithmName.NO_QUANTIZE
_UINT8_INPUT_OUTPUT = qtyping.OpQuantizationConfig(
    activation_tensor_config=_Tensor(
        num_bits=8, symmetric=False, dtype=qtyping.TensorDataType.UINT
    ),
    weight_tensor_config=_Tensor(
        num_bits=8, symmetric=True, granularity=qtyping.QuantGranularity.CHANNELWISE
    ),
    compute_precision=qtyping.ComputePrecision.INTEGER,
    explicit_dequantize=False,
)
_FLOAT16_WEIGHTS = qtyping.OpQuantizationConfig(
    weight_tensor_config=_Tensor(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
    compute_precision=qtyping.ComputePrecision.FLOAT,
    explicit_dequantize=True,
)


def quantize_tflite(float_model: bytes, *, ranges: Ranges, config: QuantizationConfig) -> bytes:
    """Quantize to int8 weights per channel and int8 activations, with uint8 input and output.

    The network takes an image's bytes as they are. Input and output are uint8 even if the layers
    next to them are excluded from quantization.

    Args:
        float_model: as `export_tflite` returns it.
        ranges: of its activations, see `calibrate_tflite`.
        config: its excluded layers, by the names of their outputs, stay in float.

    Returns:
        The flatbuffer; equal arguments give equal bytes.

    Raises:
        ExportError: the model cannot be quantized, or 0 lies outside of its input range.
    """
    low, high = ranges[input_name(float_model)]
    if not low <= 0 <= high:
        raise ExportError(
            f"int8 TFLite needs an input range that includes zero; that of this model is "
            f"{low:g}..{high:g}; export a float format instead"
        )
    manager = recipe_manager.RecipeManager()
    manager.add_static_config(_EVERY_NAME, _Operation.ALL_SUPPORTED, 8, 8)
    for layer in config.excluded_layers:
        manager.add_quantization_config(
            f"^{re.escape(layer)};?$", _Operation.ALL_SUPPORTED, algorithm_key=_NO_QUANTIZE
        )
    # the output tensor has the last layer's name, so that excluding the layer would match it too
    for end in (_Operation.INPUT, _Operation.OUTPUT):
        manager.add_quantization_config(_EVERY_NAME_OVERRIDE, end, _UINT8_INPUT_OUTPUT)
    return _quantize(float_model, "int8", manager.get_quantization_recipe(), ranges)


def to_int16x8(float_model: bytes, *, ranges: Ranges) -> bytes:
    """Quantize to int8 weights per channel and int16 activations, with float input and output.

    Arguments, result and errors are those of `quantize_tflite`.
    """
    manager = recipe_manager.RecipeManager()
    manager.add_static_config(_EVERY_NAME, _Operation.ALL_SUPPORTED, 16, 8)
    for end in (_Operation.INPUT, _Operation.OUTPUT):
        manager.add_quantization_config(_EVERY_NAME, end, algorithm_key=_NO_QUANTIZE)
    return _quantize(float_model, "int16x8", manager.get_quantization_recipe(), ranges)


def to_dynamic_range(float_model: bytes) -> bytes:
    """Quantize the weights to int8 per channel; activation ranges are computed at run time.

    Arguments, result and errors are those of `quantize_tflite`.
    """
    return _quantize(float_model, "dynamic", recipe.dynamic_wi8_afp32(), None)


def to_float16(float_model: bytes) -> bytes:
    """Store the weights as float16; the interpreter dequantizes them when it loads the file.

    Arguments, result and errors are those of `quantize_tflite`.
    """
    manager = recipe_manager.RecipeManager()
    manager.add_quantization_config(
        _EVERY_NAME,
        _Operation.ALL_SUPPORTED,
        _FLOAT16_WEIGHTS,
        algorithm_key=quantizer.AlgorithmName.FLOAT_CASTING,
    )
    return _quantize(float_model, "float16", manager.get_quantization_recipe(), None)


def _quantize(float_model: bytes, precision: str, rules: Any, ranges: Ranges | None) -> bytes:
    """Run ai-edge-quantizer; ``precision`` is for the error message."""
    statistics = _statistics(float_model, ranges) if ranges else None
    try:
        with quiet():
            result = quantizer.Quantizer(float_model, rules).quantize(
                statistics, enable_progress_report=False, enable_progress_bar=False
            )
    # it raises ValueError, RuntimeError and KeyError
    except Exception as error:
        raise ExportError(
            f"cannot quantize to {precision} TFLite: {error_summary(error)}"
        ) from error
    # ai-edge-quantizer appends large weights behind the flatbuffer and refers to them by their
    # offset in the file; metadata, which is written in front, would shift them
    repacked = flatbuffer_utils.read_model_from_bytearray(bytearray(result.quantized_model))
    return bytes(flatbuffer_utils.convert_object_to_bytearray(repacked))


def _statistics(float_model: bytes, ranges: Ranges) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Return the ranges as ai-edge-quantizer takes them: arrays of each tensor's rank."""
    details = Interpreter(model_content=float_model).get_tensor_details()
    ranks = {tensor["name"]: len(tensor["shape"]) for tensor in details}
    return {
        name: {
            "min": np.full((1,) * ranks[name], low, np.float32),
            "max": np.full((1,) * ranks[name], high, np.float32),
        }
        for name, (low, high) in ranges.items()
    }
