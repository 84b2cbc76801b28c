"""A float TFLite file -> smaller ones, by ai-edge-quantizer."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from ai_edge_litert.tools import flatbuffer_utils
from ai_edge_quantizer import qtyping, quantizer, recipe, recipe_manager

from fmx_export.common.calibration_ranges import tensor_ranges
from fmx_runtime.errors import ExportError
from fmx_runtime.images.preprocess import to_tensor
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from fmx_export.common.calibration_ranges import Ranges
    from fmx_export.common.quantization_config import Plan
    from fmx_runtime.model_file.metadata import InputSpec

__all__ = [
    "calibrate_tflite",
    "kernel_difference",
    "quantize_tflite",
    "to_dynamic_range",
    "to_float16",
    "to_int16x8",
]

_ALL = ".*"
_ENDS = "^"
"""Matches all names too, as a pattern of its own: see `quantize_tflite`."""
_Operation, _Tensor = qtyping.TFLOperationName, qtyping.TensorQuantizationConfig
_NO_QUANTIZE = quantizer.AlgorithmName.NO_QUANTIZE
_WEIGHTS = _Tensor(num_bits=8, symmetric=True, granularity=qtyping.QuantGranularity.CHANNELWISE)
_UNSIGNED_ENDS = qtyping.OpQuantizationConfig(
    activation_tensor_config=_Tensor(
        num_bits=8, symmetric=False, dtype=qtyping.TensorDataType.UINT
    ),
    weight_tensor_config=_WEIGHTS,
    compute_precision=qtyping.ComputePrecision.INTEGER,
    explicit_dequantize=False,
)
_HALF = qtyping.OpQuantizationConfig(
    weight_tensor_config=_Tensor(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
    compute_precision=qtyping.ComputePrecision.FLOAT,
    explicit_dequantize=True,
)


def quantize_tflite(float_model: bytes, *, ranges: Ranges, plan: Plan) -> bytes:
    """Quantize to int8 weights per channel and int8 activations.

    The pixels' own bytes go in, uint8 probabilities or logits come out. Both ends are quantized
    whatever the plan says, so there is no arithmetic between an image and the interpreter.

    Args:
        float_model: as `export_tflite` gives it.
        ranges: of its activations, see `calibrate_tflite`.
        plan: which operators stay in float, by the names of their outputs.

    Returns:
        The flatbuffer; equal arguments give equal bytes.

    Raises:
        ExportError: the model cannot be quantized, or takes no zero.
    """
    low, high = ranges[_image(float_model)]
    if not low <= 0 <= high:
        raise ExportError(
            f"int8 TFLite: zero lies outside of what pixels mean, {low:g} to {high:g}; "
            "int8 needs it inside"
        )
    manager = recipe_manager.RecipeManager()
    manager.add_static_config(_ALL, _Operation.ALL_SUPPORTED, 8, 8)
    for layer in plan.excluded_layers:
        manager.add_quantization_config(
            f"^{re.escape(layer)};?$", _Operation.ALL_SUPPORTED, algorithm_key=_NO_QUANTIZE
        )
    # the last layer goes by the same name as the output; of two rules that match, the one wins
    # whose pattern was first used later
    manager.add_quantization_config(_ENDS, _Operation.INPUT, _UNSIGNED_ENDS)
    manager.add_quantization_config(_ENDS, _Operation.OUTPUT, _UNSIGNED_ENDS)
    return _quantize(float_model, "int8", manager.get_quantization_recipe(), ranges)


def to_int16x8(float_model: bytes, *, ranges: Ranges) -> bytes:
    """Quantize to int8 weights per channel and int16 activations; floats go in and come out.

    Arguments, result and errors as of `quantize_tflite`.
    """
    manager = recipe_manager.RecipeManager()
    manager.add_static_config(_ALL, _Operation.ALL_SUPPORTED, 16, 8)
    for end in (_Operation.INPUT, _Operation.OUTPUT):
        manager.add_quantization_config(_ALL, end, algorithm_key=_NO_QUANTIZE)
    return _quantize(float_model, "int16x8", manager.get_quantization_recipe(), ranges)


def to_dynamic_range(float_model: bytes) -> bytes:
    """Quantize the weights to int8 per channel; each activation's range is found as it comes.

    Arguments, result and errors as of `quantize_tflite`.
    """
    return _quantize(float_model, "dynamic", recipe.dynamic_wi8_afp32(), None)


def to_float16(float_model: bytes) -> bytes:
    """Store the weights as float16; they are widened when the file is opened.

    Arguments, result and errors as of `quantize_tflite`.
    """
    manager = recipe_manager.RecipeManager()
    manager.add_quantization_config(
        _ALL,
        _Operation.ALL_SUPPORTED,
        _HALF,
        algorithm_key=quantizer.AlgorithmName.FLOAT_CASTING,
    )
    return _quantize(float_model, "float16", manager.get_quantization_recipe(), None)


def calibrate_tflite(
    float_model: bytes, *, spec: InputSpec, calibration: NDArray[np.uint8], plan: Plan
) -> Ranges:
    """What values each activation takes.

    Args:
        float_model: as `export_tflite` gives it.
        spec: the Keras model's input; what a byte means is laid down by it, not by the sample.
        calibration: uint8 ``(n, height, width, channels)``.
        plan: how ranges are taken.

    Raises:
        ExportError: the interpreter does not show what an operator gives.
    """
    try:
        ranges = tensor_ranges(
            lambda: _activations(float_model, spec, calibration), plan.calibration
        )
    except (ValueError, RuntimeError) as error:
        raise ExportError(f"cannot calibrate TFLite: {error_summary(error)}") from error
    return {**ranges, _image(float_model): (spec.offset, 255 * spec.scale + spec.offset)}


def kernel_difference(model: bytes, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How far apart the two sorts of kernels answer that an int8 file meets on devices.

    Today's interpreters hand quantized layers to XNNPACK, which rounds a sum once. Older ones
    compute with TFLite's own kernels, which round it twice. This interpreter has both.

    Args:
        model: as `quantize_tflite` gives it.
        images: uint8 ``(n, height, width, channels)``.

    Returns:
        int64 ``(n,)``, the largest difference of an output, in its steps: 0 to 255.
    """
    rounded_once, rounded_twice = (
        _answers(model, images, kernels)
        for kernels in (OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    )
    difference: NDArray[np.int64] = np.abs(rounded_once - rounded_twice).max(axis=1)
    return difference


def _answers(model: bytes, images: NDArray[np.uint8], kernels: OpResolverType) -> NDArray[np.int64]:
    """The integers that come out, int64 ``(n, classes)``."""
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    image, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for pixels in images:
        interpreter.set_tensor(image["index"], pixels[np.newaxis])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(answer["index"])[0])
    return np.array(rows, np.int64)


def _image(float_model: bytes) -> str:
    """The name of the input."""
    name: str = Interpreter(model_content=float_model).get_input_details()[0]["name"]
    return name


def _quantize(float_model: bytes, precision: str, rules: Any, ranges: Ranges | None) -> bytes:
    statistics = _statistics(float_model, ranges) if ranges else None
    try:
        with _untroubled():
            result = quantizer.Quantizer(float_model, rules).quantize(
                statistics, enable_progress_report=False, enable_progress_bar=False
            )
    # it raises ValueError, RuntimeError and KeyError
    except Exception as error:
        raise ExportError(
            f"cannot quantize to {precision} TFLite: {error_summary(error)}"
        ) from error
    # it puts large weights behind the flatbuffer, and their places by count from the file's start
    # into it; metadata put in front would make them wrong
    whole = flatbuffer_utils.read_model_from_bytearray(bytearray(result.quantized_model))
    return bytes(flatbuffer_utils.convert_object_to_bytearray(whole))


@contextlib.contextmanager
def _untroubled() -> Iterator[None]:
    """Do not say that an interpreter that keeps all its tensors takes memory, nor draw a bar."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore", UserWarning)
        yield


def _activations(
    float_model: bytes, spec: InputSpec, calibration: NDArray[np.uint8]
) -> Iterator[Mapping[str, NDArray[np.float32]]]:
    """All float tensors that operators give, image by image.

    Weights are none of them: of what it is told a range, the quantizer makes one scale.
    """
    with _untroubled():
        interpreter = Interpreter(model_content=float_model, experimental_preserve_all_tensors=True)
        interpreter.allocate_tensors()
    image = interpreter.get_input_details()[0]["index"]
    graph = flatbuffer_utils.read_model_from_bytearray(bytearray(float_model)).subgraphs[0]
    given = {index for operator in graph.operators for index in operator.outputs}
    tensors = [
        (tensor["index"], tensor["name"])
        for tensor in interpreter.get_tensor_details()
        if tensor["index"] in given and tensor["dtype"] == np.float32
    ]
    for pixels in calibration:
        interpreter.set_tensor(image, to_tensor(pixels[np.newaxis], spec))
        interpreter.invoke()
        yield {name: interpreter.get_tensor(index) for index, name in tensors}


def _statistics(float_model: bytes, ranges: Ranges) -> dict[str, dict[str, NDArray[np.float32]]]:
    """The ranges as ai-edge-quantizer reads them: arrays of the tensors' ranks."""
    details = Interpreter(model_content=float_model).get_tensor_details()
    ranks = {tensor["name"]: len(tensor["shape"]) for tensor in details}
    return {
        name: {
            "min": np.full((1,) * ranks[name], low, np.float32),
            "max": np.full((1,) * ranks[name], high, np.float32),
        }
        for name, (low, high) in ranges.items()
    }
