"""Read the graph of a model file of either format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_runtime.backends.base import detect_format
from fmx_runtime.errors import ModelFileError
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from fmx_export.common.graph import Graph

__all__ = ["read_graph"]


def read_graph(content: bytes) -> Graph:
    """Read the operators of a model file, without running it; metadata is not needed.

    Imports neither TensorFlow nor an interpreter, so that `fmx inspect` starts fast.

    Args:
        content: the whole file, float or quantized.

    Raises:
        ModelFileError: it is neither a TFLite nor an ONNX model, or is damaged.
    """
    model_format = detect_format(content)
    if model_format is None:
        raise ModelFileError("neither a TFLite nor an ONNX model")
    try:
        if model_format == "tflite":
            from fmx_export.tflite.graph import read_tflite

            return read_tflite(content)
        from fmx_export.onnx.graph import read_onnx

        return read_onnx(content)
    # parsers follow the numbers in a damaged file, and meet IndexError, struct.error and others
    except Exception as error:
        raise ModelFileError(
            f"is damaged, its graph cannot be read ({error_summary(error)}); "
            "copy the file again, or export again"
        ) from error
