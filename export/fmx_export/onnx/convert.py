"""Keras model -> ONNX in floating point, as a model."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

from fmx_export.onnx.normalize import canonicalize, drop_unused_operator_sets
from fmx_runtime.errors import ExportError
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["export_onnx", "onnx_to_float16", "serialize"]

_OPSET = 17  # the newest that tf2onnx 1.17 is tested with by its authors; runs in onnxruntime 1.12+
_INPUT = "image"


def export_onnx(model: Any, *, spec: InputSpec) -> onnx.ModelProto:
    """Convert a Keras image classifier to float32 ONNX, for one image at a time.

    Args:
        model: built Keras model, float input ``(n, height, width, channels)``.
        spec: the Keras model's input.

    Raises:
        ExportError: the model cannot be converted.
    """
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # the checker says it in one line
    try:
        proto = _convert(model, spec)
        proto.graph.ClearField("doc_string")  # holds a number that grows from call to call
        _add_instead_of_subtracting(proto.graph)
        canonicalize(proto.graph)
        drop_unused_operator_sets(proto)
        onnx.checker.check_model(proto, full_check=True)  # tf2onnx passes on what it does not know
    # tf2onnx raises ValueError, KeyError, and TensorFlow's own types
    except Exception as error:
        raise ExportError(
            f"cannot convert to float32 ONNX: {error_summary(error)}; TFLite alone may go: "
            "--format tflite-float32"
        ) from error
    return proto


def onnx_to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """The network with float16 weights and arithmetic; float32 goes in and comes out.

    Raises:
        ExportError: it cannot be converted.
    """
    try:
        half: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=True)
        canonicalize(half.graph)
        onnx.checker.check_model(half, full_check=True)
    # it raises ValueError, and the checker its own types
    except Exception as error:
        raise ExportError(f"cannot convert to float16 ONNX: {error_summary(error)}") from error
    return half


def serialize(model: onnx.ModelProto) -> bytes:
    """The file's bytes; equal models give equal bytes."""
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _convert(model: Any, spec: InputSpec) -> onnx.ModelProto:
    # with a batch of one, shapes are constants, and no Shape/Gather/Concat is left behind Flatten
    signature = [tf.TensorSpec((1, *spec.shape), tf.float32, name=_INPUT)]
    function = tf.function(lambda image: model(image, training=False))
    with _inner_functions_inlined():
        concrete = function.get_concrete_function(*signature)  # it is asked for once more below
    proto, _ = tf2onnx.convert.from_function(
        function,
        input_signature=signature,
        opset=_OPSET,
        custom_op_handlers={"Erfc": (_one_minus_erf, [])},
    )
    _keep_constants(proto.graph, concrete)
    return proto


@contextlib.contextmanager
def _inner_functions_inlined() -> Iterator[None]:
    """Trace functions within functions as part of the outer one.

    Keras puts grouped convolutions into functions of their own, which tf2onnx does not look into.
    """
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _one_minus_erf(context: Any, node: Any, _name: str, _arguments: list[Any]) -> None:
    """Write ``Erfc``, by which Keras computes GELU and which ONNX lacks, as 1 - ``Erf``."""
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


def _keep_constants(graph: onnx.GraphProto, concrete: Any) -> None:
    """Store the tensors that the traced function captured, which tf2onnx makes inputs.

    Keras' Normalization keeps its mean and its variance so.
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


def _add_instead_of_subtracting(graph: onnx.GraphProto) -> None:
    """Write ``x - constant`` as ``x + (-constant)``: onnxruntime quantizes sums only."""
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
