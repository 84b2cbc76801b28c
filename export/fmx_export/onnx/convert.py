"""Convert a Keras model to float32 or float16 ONNX with tf2onnx."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

from fmx_export.onnx.normalize import drop_unused_opsets, normalize_graph
from fmx_runtime.errors import ExportError
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["export_onnx", "serialize", "to_float16"]

_OPSET = 17
"""The newest operator set that tf2onnx 1.17 is tested with; onnxruntime 1.12 and later run it."""
_INPUT = "image"
"""Name of the input tensor."""


def export_onnx(model: Any, *, spec: InputSpec) -> onnx.ModelProto:
    """Convert a Keras image classifier to float32 ONNX with a batch size of one.

    Args:
        model: a built Keras model with float input ``(n, height, width, channels)``.
        spec: the Keras model's input.

    Returns:
        A model with the input float32 ``(1, height, width, channels)`` and the output float32
        ``(1, classes)``; equal Keras models give equal ONNX models.

    Raises:
        ExportError: tf2onnx cannot convert the model.
    """
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # the error below tells the cause
    try:
        proto = _convert(model, spec)
        proto.graph.ClearField("doc_string")  # contains a number that grows with every call
        _replace_sub_by_add(proto.graph)
        normalize_graph(proto.graph)
        drop_unused_opsets(proto)
        onnx.checker.check_model(proto, full_check=True)  # tf2onnx keeps unknown ops
    # tf2onnx raises ValueError, KeyError, and TensorFlow's own types
    except Exception as error:
        raise ExportError(
            f"cannot convert to float32 ONNX: {error_summary(error)}; "
            "try TFLite alone: --format tflite-float32"
        ) from error
    return proto


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Convert a float32 model to float16 weights and arithmetic; input and output stay float32.

    Args:
        model: as `export_onnx` returns it; not changed.

    Raises:
        ExportError: onnxruntime cannot convert the model.
    """
    try:
        half: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=True)
        normalize_graph(half.graph)
        onnx.checker.check_model(half, full_check=True)
    # onnxruntime raises ValueError, the checker raises library-specific types
    except Exception as error:
        raise ExportError(f"cannot convert to float16 ONNX: {error_summary(error)}") from error
    return half


def serialize(model: onnx.ModelProto) -> bytes:
    """Return the bytes of an ONNX file; equal models give equal bytes."""
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _convert(model: Any, spec: InputSpec) -> onnx.ModelProto:
    # a batch size of one makes all shapes constant, so no Shape, Gather or Concat is needed
    signature = [tf.TensorSpec((1, *spec.shape), tf.float32, name=_INPUT)]
    function = tf.function(lambda image: model(image, training=False))
    with _inline_inner_functions():
        concrete = function.get_concrete_function(*signature)  # cached; tf2onnx gets the same one
    proto, _ = tf2onnx.convert.from_function(
        function,
        input_signature=signature,
        opset=_OPSET,
        custom_op_handlers={"Erfc": (_convert_erfc, [])},
    )
    _store_captured_tensors(proto.graph, concrete)
    return proto


@contextlib.contextmanager
def _inline_inner_functions() -> Iterator[None]:
    """Trace inner functions as part of the outer one.

    Keras traces grouped convolutions as separate functions, which tf2onnx does not convert.
    """
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _convert_erfc(context: Any, node: Any, _name: str, _arguments: list[Any]) -> None:
    """Convert ``Erfc`` to ``1 - Erf``: Keras computes GELU with it, and ONNX does not have it."""
    shapes, dtypes, outputs = node.output_shapes, node.output_dtypes, node.output
    context.remove_node(node.name)
    erf = context.make_node("Erf", node.input, shapes=shapes, dtypes=dtypes)
    one = context.make_const(f"{node.name}_one", np.array(1, np.float32))
    context.make_node(
        "Sub",
        [one.output[0], erf.output[0]],
        name=node.name,
        outputs=outputs,
        shapes=shapes,
        dtypes=dtypes,
    )


def _store_captured_tensors(graph: onnx.GraphProto, concrete: Any) -> None:
    """Store captured tensors as initializers; tf2onnx makes them inputs of the graph.

    Keras' Normalization layer keeps its mean and variance as such tensors.
    """
    captured = concrete.captured_inputs
    inner = concrete.inputs[len(concrete.inputs) - len(captured) :]
    values = {
        tensor.name: value.numpy()
        for tensor, value in zip(inner, captured, strict=True)
        if tensor.dtype != tf.resource
    }
    for item in [item for item in graph.input if item.name in values]:
        graph.initializer.append(onnx.numpy_helper.from_array(values[item.name], item.name))
        graph.input.remove(item)


def _replace_sub_by_add(graph: onnx.GraphProto) -> None:
    """Replace ``x - constant`` by ``x + (-constant)``: onnxruntime quantizes Add, but not Sub."""
    constants = {item.name: item for item in graph.initializer}
    for node in graph.node:
        if node.op_type != "Sub" or node.input[0] in constants or node.input[1] not in constants:
            continue
        value = onnx.numpy_helper.to_array(constants[node.input[1]])
        negative = f"{node.input[1]}/negative"
        if negative not in constants:
            constants[negative] = onnx.numpy_helper.from_array(-value, negative)
            graph.initializer.append(constants[negative])
        node.op_type, node.input[1] = "Add", negative
