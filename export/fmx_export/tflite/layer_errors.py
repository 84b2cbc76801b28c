"""What each layer of an int8 TFLite model loses, measured with TensorFlow's own debugger."""

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
    """Measure the noise that each layer of a model adds when all of it is quantized.

    TensorFlow's debugger puts a float twin beside each quantized operator, fed with the same
    dequantized inputs; what it finds between the two is the layer's own share. Operators whose
    output has their input's scale, as pooling and concatenation, have no twin and seem exact; of
    these, the mean of an average pooling is rounded in truth.

    Args:
        converter: `tf.lite.TFLiteConverter` set up for full integer quantization; used up.
        inputs: float32 ``(1, height, width, channels)`` each, within the range that the converter
            calibrates; some tens of images.

    Returns:
        The quantized operators in the order of the graph. Their names are those of their outputs
        in the float file, as ai-edge-quantizer's scopes and ``denylisted_nodes`` want them.

    Raises:
        ExportError: TensorFlow cannot quantize or run the model, or there are no images.
    """
    try:
        with warnings.catch_warnings():
            # of an interpreter that is to go, and that keeping all tensors takes memory
            warnings.simplefilter("ignore", UserWarning)
            return _layers(converter, inputs)
    # TensorFlow raises its own types, RuntimeError and ValueError among others
    except Exception as error:
        raise ExportError(
            f"cannot compare the layers of the int8 TFLite model with float: {error_summary(error)}"
        ) from error


def _layers(converter: Any, inputs: Iterable[NDArray[np.float32]]) -> tuple[LayerError, ...]:
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter,
        debug_options=tf.lite.experimental.QuantizationDebugOptions(fully_quantize=True),
    )
    readers = _readers(debugger.get_nondebug_quantized_model())
    measured = {
        _full_name(row["tensor_name"], readers): (row["op_name"], snr_db(powers))
        for row, powers in _measured(debugger.get_debug_quantized_model(), inputs)
    }
    pass_through_ops = {layer for layer, (_, noise) in measured.items() if noise == EXACT_DB}
    return tuple(
        LayerError(
            layer=layer,
            tensor=layer,
            operator=operator,
            snr_db=noise,
            weight_snr_db=None,
            exclude=with_consumers(layer, readers, pass_through_ops),
        )
        for layer, (operator, noise) in measured.items()
    )


def _readers(content: bytes) -> dict[str, list[str]]:
    """Who reads what an operator gives, both by the names of their outputs."""
    main = flatbuffer_utils.read_model_from_bytearray(bytearray(content)).subgraphs[0]
    names = {
        operator.outputs[0]: main.tensors[operator.outputs[0]].name.decode("utf-8")
        for operator in main.operators
    }
    return {
        name: [names[other.outputs[0]] for other in main.operators if index in other.inputs]
        for index, name in names.items()
    }


def _measured(
    instrumented: bytes, inputs: Iterable[NDArray[np.float32]]
) -> Iterator[tuple[dict[str, str], NDArray[np.float64]]]:
    """Each layer as the debugger describes it, with its signal and noise."""
    powers = []

    def record(
        exact: NDArray[np.float32], integers: NDArray[np.int8], scale: float, zero_point: int
    ) -> float:
        rounded = (integers.astype(np.float32) - zero_point) * np.float32(scale)
        powers.append(channel_powers(exact, rounded))
        return 0.0

    # made from the file, not from a converter, as only then the debugger has the interpreter keep
    # every tensor; otherwise later operators write over what is compared
    debugger = tf.lite.experimental.QuantizationDebugger(
        quant_debug_model_content=instrumented,
        debug_dataset=lambda: ([image] for image in inputs),
        debug_options=tf.lite.experimental.QuantizationDebugOptions(
            layer_direct_compare_metrics={"recorded": record}
        ),
    )
    debugger.run()
    table = io.StringIO()
    debugger.layer_statistics_dump(table)
    table.seek(0)
    rows = list(csv.DictReader(table))
    if not rows:
        raise ValueError("no images")
    for index, row in enumerate(rows):  # layer after layer, and again for each image
        yield row, np.sum(powers[index :: len(rows)], axis=0)


def _full_name(told: str, names: Iterable[str]) -> str:
    """The name of a tensor as it is, by the debugger's, which can lack a digit at the end."""
    return told if told in names else next(name for name in names if name[:-1] == told)
