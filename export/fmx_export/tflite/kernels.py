"""Compare the two implementations of int8 kernels that run TFLite files on devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["kernel_difference"]


def kernel_difference(model: bytes, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return how far XNNPACK's outputs lie from those of TFLite's built-in kernels.

    Current interpreters delegate quantized layers to XNNPACK, which rounds a sum once. Older ones
    use TFLite's built-in kernels, which round it twice. This interpreter has both.

    Args:
        model: int8 model with a uint8 input, as `quantize_tflite` returns it.
        images: uint8 ``(n, height, width, channels)``.

    Returns:
        int64 ``(n,)``: the largest difference of an output in quantization steps, 0 to 255.
    """
    xnnpack = _run(model, images, OpResolverType.AUTO)
    builtin = _run(model, images, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    difference: NDArray[np.int64] = np.abs(xnnpack - builtin).max(axis=1)
    return difference


def _run(model: bytes, images: NDArray[np.uint8], kernels: OpResolverType) -> NDArray[np.int64]:
    """Return the quantized outputs, int64 ``(n, classes)``."""
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    input_index = interpreter.get_input_details()[0]["index"]
    output_index = interpreter.get_output_details()[0]["index"]
    rows = []
    for image in images:
        interpreter.set_tensor(input_index, image[np.newaxis])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(output_index)[0])
    return np.array(rows, np.int64)
