"""Keras model -> ONNX, as bytes."""

from __future__ import annotations

import logging
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from fmx_export.canonical import canonicalize
from fmx_runtime.errors import ExportError
from fmx_runtime.preprocess import to_tensor
from fmx_runtime.reason import reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fmx_runtime.card import InputSpec, Precision

__all__ = ["export_onnx"]

_OPSET = 17  # the newest that tf2onnx 1.17 is tested with by its authors; runs in onnxruntime 1.12+
_INPUT = "image"
_LAYOUT_OPS = ("Reshape", "Transpose", "Squeeze", "Unsqueeze")


def export_onnx(
    model: Any, *, precision: Precision, spec: InputSpec, calibration: NDArray[np.uint8]
) -> bytes:
    """Convert a Keras image classifier to ONNX, for one picture at a time.

    ``int8`` is QDQ with unsigned activations and signed per-channel weights, the one scheme that
    onnxruntime runs faster than float on x86: signed activations and the operator form fall back
    to slow kernels. The pixels' own bytes go in; the softmax stays in float, so probabilities are
    not rounded.

    Args:
        model: built Keras model, float input ``(n, height, width, channels)``.
        precision: of the weights and activations.
        spec: the Keras model's input.
        calibration: uint8 ``(n, height, width, channels)``, as `calibrate.calibration_pixels`
            gives it; sets the activations' ranges, used for ``int8`` only.

    Returns:
        The serialized ``ModelProto``.

    Raises:
        ExportError: the model cannot be converted, or int8 pixels do not fit.
    """
    try:
        proto = _convert(model, spec)
        onnx.checker.check_model(proto, full_check=True)  # tf2onnx passes on what it does not know
        if precision == "int8":
            proto = _quantize(proto, spec, calibration)
    # tf2onnx and onnxruntime raise ValueError, KeyError, and TensorFlow's own types
    except Exception as error:
        raise ExportError(f"cannot convert to {precision} ONNX: {reason(error)}") from error
    if precision == "int8":
        _take_raw_pixels(proto, spec)
    _tidy(proto)
    onnx.checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _convert(model: Any, spec: InputSpec) -> onnx.ModelProto:
    # with a batch of one, shapes are constants, and no Shape/Gather/Concat is left behind Flatten
    signature = [tf.TensorSpec((1, *spec.shape), tf.float32, name=_INPUT)]
    function = tf.function(lambda image: model(image, training=False))
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # the checker says it in one line
    proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=_OPSET)
    proto.graph.ClearField("doc_string")  # holds a number that grows from call to call
    canonicalize(proto.graph)
    return proto


def _tidy(proto: onnx.ModelProto) -> None:
    """Drop onnxruntime's notes to itself, and operator sets that no operator is from."""
    proto.ClearField("metadata_props")
    used = {node.domain for node in proto.graph.node}
    kept = [imported for imported in proto.opset_import if imported.domain in used]
    del proto.opset_import[:]
    proto.opset_import.extend(kept)


class _Sample(CalibrationDataReader):  # type: ignore[misc]
    """The calibration pictures, one at a time, as onnxruntime's quantizer asks for them."""

    def __init__(self, calibration: NDArray[np.uint8], spec: InputSpec) -> None:
        self._inputs: Iterator[dict[str, NDArray[np.float32]]] = (
            {_INPUT: to_tensor(pixels[np.newaxis], spec)} for pixels in calibration
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next input, None after the last."""
        return next(self._inputs, None)


def _quantize(
    proto: onnx.ModelProto, spec: InputSpec, calibration: NDArray[np.uint8]
) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory(prefix="fmx-") as folder:
        plain, prepared, quantized = (Path(folder, f"{i}.onnx") for i in range(3))
        onnx.save(proto, plain)
        # all shapes are constants; what cannot be inferred symbolically it would leave a file about
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        nodes = onnx.load(prepared).graph.node
        quantize_static(
            prepared,
            quantized,
            _Sample(calibration, spec),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            nodes_to_exclude=[node.name for node in nodes if node.op_type == "Softmax"],
        )
        return onnx.load(quantized)


def _take_raw_pixels(proto: onnx.ModelProto, spec: InputSpec) -> None:
    """Drop the quantization of the input, so that the graph takes uint8 pixels.

    Only operators that move values without looking at them may stand before it.
    """
    graph = proto.graph
    tensor = _INPUT
    while (node := _only_reader(graph, tensor)).op_type != "QuantizeLinear":
        if node.op_type not in _LAYOUT_OPS:
            raise ExportError(f"int8 ONNX: the input meets {node.op_type} before it is quantized")
        tensor = node.output[0]
    values = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    scale, zero_point = float(values[node.input[1]]), int(values[node.input[2]])
    same_scale = math.isclose(scale, spec.scale, rel_tol=1e-3)
    if not same_scale or abs(zero_point + spec.offset / spec.scale) > 0.5:  # noqa: PLR2004
        raise ExportError(
            f"int8 ONNX: pixels mean {spec.scale:g} * byte + {spec.offset:g}, the calibration "
            f"chose {scale:g} * (byte - {zero_point}); the calibration pictures must span 0 to 255"
        )
    for other in graph.node:
        for index, name in enumerate(other.input):
            if name == node.output[0]:
                other.input[index] = tensor
    graph.node.remove(node)
    graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    del graph.value_info[:]  # holds the types of the tensors as they were; inferred anew on load


def _only_reader(graph: onnx.GraphProto, tensor: str) -> onnx.NodeProto:
    readers = [node for node in graph.node if tensor in node.input]
    if len(readers) != 1:
        raise ExportError(f"int8 ONNX: the input is read {len(readers)} times, expected once")
    return readers[0]
