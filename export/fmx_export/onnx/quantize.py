"""A float ONNX network -> int8, by onnxruntime's quantizer."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.calibrate import TensorData, TensorsData, save_tensors_data
from onnxruntime.quantization.shape_inference import quant_pre_process

from fmx_export.common.calibration_ranges import tensor_ranges
from fmx_export.common.quantization_config import WEIGHT_BITS
from fmx_export.onnx.normalize import drop_unused_operator_sets, sort_by_need
from fmx_export.onnx.space_to_depth import space_to_depth
from fmx_runtime.errors import ExportError
from fmx_runtime.images.preprocess import to_tensor
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from fmx_export.common.calibration_ranges import Ranges
    from fmx_export.common.quantization_config import Plan, Target
    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["calibrate_onnx", "fuse", "prepare_onnx", "quantize_onnx", "take_raw_pixels"]

_MOVING = ("Reshape", "Transpose", "Squeeze", "Unsqueeze")
"""Operators that move values without looking at them."""

_FLOATS_FROM_INTEGERS = ("Gemm", "MatMul")
"""Operators that onnxruntime computes in integers even where their result is not quantized."""


def prepare_onnx(float_model: onnx.ModelProto) -> onnx.ModelProto:
    """The network as it is quantized: the first convolution laid out on blocks, operators fused.

    Args:
        float_model: as `export_onnx` gives it.

    Raises:
        ExportError: onnxruntime cannot read it.
    """
    model = onnx.ModelProto()
    model.CopyFrom(float_model)
    space_to_depth(model.graph)
    return fuse(model)


def fuse(float_model: onnx.ModelProto) -> onnx.ModelProto:
    """The network with its constants fuse_batch_norm and its operators fused, by onnxruntime.

    Raises:
        ExportError: onnxruntime cannot read it.
    """
    with tempfile.TemporaryDirectory(prefix="fmx-") as folder:
        plain, fused = Path(folder, "plain.onnx"), Path(folder, "fused.onnx")
        onnx.save(float_model, plain)
        try:
            # all shapes are constants; what symbolic inference fails at would leave a file about
            quant_pre_process(plain, fused, skip_symbolic_shape=True)
            return onnx.load(fused)  # where it fails, it only logs that it did
        # its exceptions derive from Exception and share no public base
        except Exception as error:
            raise ExportError(f"cannot prepare for int8 ONNX: {error_summary(error)}") from error


def calibrate_onnx(
    prepared: onnx.ModelProto, *, spec: InputSpec, calibration: NDArray[np.uint8], plan: Plan
) -> Ranges:
    """What values each activation takes.

    Args:
        prepared: as `prepare_onnx` gives it.
        spec: the Keras model's input.
        calibration: uint8 ``(n, height, width, channels)``.
        plan: how ranges are taken.
    """
    return tensor_ranges(lambda: _activations(prepared, spec, calibration), plan.calibration)


def quantize_onnx(
    prepared: onnx.ModelProto, *, spec: InputSpec, ranges: Ranges, plan: Plan, target: Target
) -> onnx.ModelProto:
    """Quantize a network: the float operators between QuantizeLinear and DequantizeLinear.

    Weights are signed and per channel, activations unsigned: the scheme that onnxruntime runs
    fastest, and the only one in which a pixel's byte is its own quantized value. A softmax stays
    in float, so probabilities are not rounded.

    Args:
        prepared: as `prepare_onnx` gives it.
        spec: the Keras model's input; what a byte means is laid down by it, not by the ranges.
        ranges: of the activations, see `calibrate_onnx`.
        plan: which nodes stay in float.
        target: the processor, see `fmx_export.common.quantization_config.WEIGHT_BITS`.

    Returns:
        A network with float input, see `take_raw_pixels`.

    Raises:
        ExportError: it cannot be quantized.
    """
    graph = prepared.graph
    pixels = _behind_moves(graph, graph.input[0].name)
    scale, zero_point = _meaning(spec)
    try:
        with tempfile.TemporaryDirectory(prefix="fmx-") as folder:
            quantized = Path(folder, "quantized.onnx")
            quantize_static(
                prepared,
                quantized,
                None,
                calibration_cache_path=_saved(ranges, Path(folder, "ranges.json")),
                calibrate_method=CalibrationMethod.MinMax,
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=WEIGHT_BITS[target] == 7,  # noqa: PLR2004 (of two, by its definition)
                nodes_to_exclude=[*plan.excluded_layers, *_softmaxes(graph)],
                extra_options={
                    "TensorQuantOverrides": {pixels: [{"scale": scale, "zero_point": zero_point}]}
                },
            )
            return onnx.load(quantized)
    # its exceptions derive from Exception and share no public base
    except Exception as error:
        raise ExportError(f"cannot quantize to int8 ONNX: {error_summary(error)}") from error


def take_raw_pixels(quantized: onnx.ModelProto, spec: InputSpec) -> onnx.ModelProto:
    """Let a quantized network take the pixels' own bytes, and give floats that were not rounded.

    The quantization of the input goes, as a byte is its own quantized value already; where the
    first operator is one that stays in float, the bytes are dequantized in front of it. The
    quantization of the answer goes too.

    Args:
        quantized: as `quantize_onnx` gives it.
        spec: the Keras model's input.

    Returns:
        A network with uint8 input ``(1, height, width, channels)``.

    Raises:
        ExportError: the network does not fit together.
    """
    model = onnx.ModelProto()
    model.CopyFrom(quantized)
    graph = model.graph
    image = graph.input[0].name
    pixels = _behind_moves(graph, image)
    readers = [node for node in graph.node if pixels in node.input]
    if all(node.op_type == "QuantizeLinear" for node in readers):
        for node in readers:
            _rename_input(graph, node.output[0], pixels)
            graph.node.remove(node)
    else:
        _dequantize(graph, image, *_meaning(spec))
    graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    _answer_unrounded(graph)
    del graph.value_info[:]  # holds the types of the tensors as they were; inferred anew on load
    model.ClearField("metadata_props")  # onnxruntime's notes to itself
    sort_by_need(graph)
    drop_unused_operator_sets(model)
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker's own types, and those of shape inference
        raise ExportError(f"int8 ONNX does not fit together: {error_summary(error)}") from error
    return model


def _meaning(spec: InputSpec) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Scale and zero point of a pixel's byte; the zero point is rounded to a whole byte."""
    zero_point = round(-spec.offset / spec.scale)
    if not 0 <= zero_point <= 255:  # noqa: PLR2004
        raise ExportError(
            f"int8 ONNX: zero lies outside of what pixels mean, {spec.scale:g} * byte "
            f"+ {spec.offset:g}; int8 needs it inside"
        )
    return np.array(spec.scale, np.float32), np.array(zero_point, np.uint8)


def _behind_moves(graph: onnx.GraphProto, tensor: str) -> str:
    """The tensor that holds the same values where they are first looked at."""
    readers = [node for node in graph.node if tensor in node.input]
    while len(readers) == 1 and readers[0].op_type in _MOVING:
        tensor = readers[0].output[0]
        readers = [node for node in graph.node if tensor in node.input]
    return tensor


def _softmaxes(graph: onnx.GraphProto) -> list[str]:
    return [node.name for node in graph.node if node.op_type == "Softmax"]


def _activations(
    model: onnx.ModelProto, spec: InputSpec, calibration: NDArray[np.uint8]
) -> Iterator[Mapping[str, NDArray[np.float32]]]:
    """All float tensors of the network, image by image."""
    watched = onnx.shape_inference.infer_shapes(model)
    graph = watched.graph
    answers = {output.name for output in graph.output}
    graph.output.extend(
        value
        for value in graph.value_info
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT and value.name not in answers
    )
    options = onnxruntime.SessionOptions()
    # as it stands, so that each tensor is there
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    image, names = graph.input[0].name, [output.name for output in graph.output]
    for pixels in calibration:
        tensor = to_tensor(pixels[np.newaxis], spec)
        yield {image: tensor, **dict(zip(names, session.run(names, {image: tensor}), strict=True))}


def _saved(ranges: Ranges, path: Path) -> Path:
    """The ranges as the file that onnxruntime's quantizer reads."""
    data = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, (low, high) in ranges.items()
    }
    save_tensors_data(TensorsData(CalibrationMethod.MinMax, data), path)
    return path


def _rename_input(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new


def _dequantize(
    graph: onnx.GraphProto, image: str, scale: NDArray[np.float32], zero_point: NDArray[np.uint8]
) -> None:
    _rename_input(graph, image, "pixels/values")
    constants = {"pixels/scale": scale, "pixels/zero_point": zero_point}
    graph.initializer.extend(
        onnx.numpy_helper.from_array(value, name) for name, value in constants.items()
    )
    node = onnx.helper.make_node(
        "DequantizeLinear", [image, *constants], ["pixels/values"], name="pixels/dequantize"
    )
    graph.node.insert(0, node)


def _answer_unrounded(graph: onnx.GraphProto) -> None:
    """Drop the pair of QuantizeLinear and DequantizeLinear behind the last quantized operator."""
    makers = {output: node for node in graph.node for output in node.output}
    last = makers[graph.output[0].name]
    closing = last if last.op_type == "Softmax" else None  # it is not quantized itself
    dequantize = makers.get(last.input[0]) if closing else last
    if dequantize is None or dequantize.op_type != "DequantizeLinear":
        return
    quantize = makers.get(dequantize.input[0])
    readers = [node for node in graph.node if dequantize.input[0] in node.input]
    if quantize is None or quantize.op_type != "QuantizeLinear" or len(readers) > 1:
        return
    maker = makers.get(quantize.input[0])
    if maker is None or maker.op_type not in _FLOATS_FROM_INTEGERS:
        return
    if closing:
        closing.input[0] = quantize.input[0]
    else:
        maker.output[list(maker.output).index(quantize.input[0])] = graph.output[0].name
    graph.node.remove(dequantize)
    graph.node.remove(quantize)
