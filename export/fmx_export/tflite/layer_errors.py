"""Measure the quantization error of each layer of an int8 TFLite model.

TensorFlow's quantization debugger does the measuring.
"""

from __future__ import annotations

import csv
import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.tools import flatbuffer_utils

from fmx_export.common.layer_errors import (
    EXACT_DB,
    LayerError,
    channel_powers,
    snr_db,
    with_consumers,
)
from fmx_runtime.errors import ExportError
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

__all__ = ["tflite_layer_errors"]


def tflite_layer_errors(
    converter: Any, inputs: Iterable[NDArray[np.float32]]
) -> tuple[LayerError, ...]:
    """Measure the noise that each layer adds when the whole model is quantized.

    The debugger puts a float copy beside each quantized operator and feeds it with the same
    dequantized inputs; the difference of their outputs is the layer's own error. Operators whose
    output has the scale of their input, such as pooling and concatenation, have no float copy and
    are reported as exact. (The mean of an average pooling is in fact rounded.)

    Args:
        converter: `tf.lite.TFLiteConverter` set up for full integer quantization; it cannot be
            used again.
        inputs: float32 ``(1, height, width, channels)`` each, in the range that the converter is
            calibrated for; some tens of images.

    Returns:
        The quantized operators in the order of the graph. Their names are those of their outputs
        in the float file, as ai-edge-quantizer's scopes and TensorFlow's ``denylisted_nodes`` take
        them.

    Raises:
        ExportError: TensorFlow cannot quantize or run the model, or there are no images.
    """
    try:
        with warnings.catch_warnings():
            # about a deprecated interpreter, and about the memory for preserved tensors
            warnings.simplefilter("ignore", UserWarning)
            return _layer_errors(converter, inputs)
    # TensorFlow raises its own types, RuntimeError and ValueError among others
    except Exception as error:
        raise ExportError(
            f"cannot compare the layers of the int8 TFLite model with float: {error_summary(error)}"
        ) from error


def _layer_errors(converter: Any, inputs: Iterable[NDArray[np.float32]]) -> tuple[LayerError, ...]:
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter,
        debug_options=tf.lite.experimental.QuantizationDebugOptions(fully_quantize=True),
    )
    consumers = _consumers(debugger.get_nondebug_quantized_model())
    measured = {
        _full_name(row["tensor_name"], consumers): (row["op_name"], snr_db(powers))
        for row, powers in _measure(debugger.get_debug_quantized_model(), inputs)
    }
    pass_through = {
        layer for layer, (_, layer_snr_db) in measured.items() if layer_snr_db == EXACT_DB
    }
    return tuple(
        LayerError(
            layer=layer,
            tensor=layer,
            operator=operator,
            snr_db=layer_snr_db,
            weight_snr_db=None,
            exclude=with_consumers(layer, consumers, pass_through),
        )
        for layer, (operator, layer_snr_db) in measured.items()
    )


def _consumers(content: bytes) -> dict[str, list[str]]:
    """Return the operators that read each operator's output, all by the names of their outputs."""
    graph = flatbuffer_utils.read_model_from_bytearray(bytearray(content)).subgraphs[0]
    names = {
        operator.outputs[0]: graph.tensors[operator.outputs[0]].name.decode("utf-8")
        for operator in graph.operators
    }
    return {
        name: [names[other.outputs[0]] for other in graph.operators if index in other.inputs]
        for index, name in names.items()
    }


def _measure(
    debug_model: bytes, inputs: Iterable[NDArray[np.float32]]
) -> Iterator[tuple[dict[str, str], NDArray[np.float64]]]:
    """Yield the debugger's row of each layer, and the sum of its `channel_powers`."""
    powers = []

    def record_powers(
        exact: NDArray[np.float32], integers: NDArray[np.int8], scale: float, zero_point: int
    ) -> float:
        rounded = (integers.astype(np.float32) - zero_point) * np.float32(scale)
        powers.append(channel_powers(exact, rounded))
        return 0.0  # the debugger wants a number

    # only a debugger that is created from a file, not from a converter, has the interpreter
    # preserve every tensor; otherwise later operators overwrite the tensors to compare
    debugger = tf.lite.experimental.QuantizationDebugger(
        quant_debug_model_content=debug_model,
        debug_dataset=lambda: ([image] for image in inputs),
        debug_options=tf.lite.experimental.QuantizationDebugOptions(
            layer_direct_compare_metrics={"powers": record_powers}
        ),
    )
    debugger.run()
    table = io.StringIO()
    debugger.layer_statistics_dump(table)
    table.seek(0)
    rows = list(csv.DictReader(table))
    if not rows:
        raise ValueError("no images")
    for index, row in enumerate(rows):  # powers holds all layers of the first image, then the next
        yield row, np.sum(powers[index :: len(rows)], axis=0)


def _full_name(reported: str, names: Iterable[str]) -> str:
    """Return the tensor name for the debugger's, which can lack the last digit."""
    return reported if reported in names else next(name for name in names if name[:-1] == reported)
