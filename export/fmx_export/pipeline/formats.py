"""The formats that an export can write; docs/export.md says when to use which."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from fmx_runtime.backends.base import ModelFormat
    from fmx_runtime.model_file.metadata import Precision

__all__ = ["FLOAT32", "INT8", "Format"]


class Format(enum.StrEnum):
    """A model format and a precision, with the name that the command line uses."""

    TFLITE_FLOAT32 = "tflite-float32"
    TFLITE_FLOAT16 = "tflite-float16"
    TFLITE_DYNAMIC = "tflite-dynamic"
    TFLITE_INT8 = "tflite-int8"
    TFLITE_INT16X8 = "tflite-int16x8"
    ONNX_FLOAT32 = "onnx-float32"
    ONNX_FLOAT16 = "onnx-float16"
    ONNX_INT8 = "onnx-int8"

    @property
    def model_format(self) -> ModelFormat:
        """``tflite`` or ``onnx``, which is also the file name's suffix."""
        return cast("ModelFormat", self.value.partition("-")[0])

    @property
    def precision(self) -> Precision:
        """Precision of the weights and, for most formats, of the activations."""
        return cast("Precision", self.value.partition("-")[2])

    @property
    def needs_calibration(self) -> bool:
        """Whether the ranges of the activations are taken from a calibration set."""
        return self.precision in {"int8", "int16x8"}

    def file_name(self, name: str) -> str:
        """Return ``<name>.<precision>.<format>``."""
        return f"{name}.{self.precision}.{self.model_format}"


FLOAT32 = (Format.TFLITE_FLOAT32, Format.ONNX_FLOAT32)
INT8 = (Format.TFLITE_INT8, Format.ONNX_INT8)
