"""Convert one Keras model to all formats; what several formats need is converted once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from fmx_export.common.quantization_config import QuantizationConfig
from fmx_export.onnx import convert as onnx_convert
from fmx_export.onnx.quantizer import OnnxQuantizer
from fmx_export.pipeline.formats import Format
from fmx_export.tflite import quantize as tflite_quantize
from fmx_export.tflite.convert import export_tflite
from fmx_export.tflite.quantizer import TFLiteQuantizer

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

    from fmx_export.common.quantization_config import Target
    from fmx_export.common.quantizer import Quantizer
    from fmx_export.source.source_model import SourceModel

__all__ = ["Converter"]


class Converter:
    """Converts a source model to any format; float models and calibrations are cached."""

    def __init__(self, source: SourceModel, calibration: NDArray[np.uint8], target: Target) -> None:
        """Store the arguments; nothing is converted yet.

        Args:
            source: the Keras model and its input.
            calibration: calibration images, uint8 ``(n, height, width, channels)``; not used for
                formats that need no calibration.
            target: the processor that int8 files are made for.
        """
        self._source, self._calibration, self._target = source, calibration, target

    def convert(self, file_format: Format) -> bytes:
        """Convert to a format other than int8, for which see `quantizer`.

        Returns:
            The model file's bytes, without metadata.

        Raises:
            ExportError: the model cannot be converted.
        """
        match file_format:
            case Format.TFLITE_FLOAT32:
                return self._float_tflite
            case Format.TFLITE_FLOAT16:
                return tflite_quantize.to_float16(self._float_tflite)
            case Format.TFLITE_DYNAMIC:
                return tflite_quantize.to_dynamic_range(self._float_tflite)
            case Format.TFLITE_INT16X8:
                ranges = self._tflite_quantizer.ranges(QuantizationConfig())
                return tflite_quantize.to_int16x8(self._float_tflite, ranges=ranges)
            case Format.ONNX_FLOAT32:
                return onnx_convert.serialize(self._float_onnx)
            case Format.ONNX_FLOAT16:
                return onnx_convert.serialize(onnx_convert.to_float16(self._float_onnx))
        raise ValueError(f"{file_format} is converted by its quantizer")

    def quantizer(self, file_format: Format) -> Quantizer:
        """Return the int8 quantizer of a model format, always the same one.

        Raises:
            ExportError: the float model that is quantized cannot be converted.
        """
        if file_format.model_format == "tflite":
            return self._tflite_quantizer
        return self._onnx_quantizer

    @cached_property
    def _float_tflite(self) -> bytes:
        return export_tflite(self._source.model, spec=self._source.spec)

    @cached_property
    def _float_onnx(self) -> onnx.ModelProto:
        return onnx_convert.export_onnx(self._source.model, spec=self._source.spec)

    @cached_property
    def _tflite_quantizer(self) -> TFLiteQuantizer:
        return TFLiteQuantizer(
            self._source.model, self._float_tflite, self._source.spec, self._calibration
        )

    @cached_property
    def _onnx_quantizer(self) -> OnnxQuantizer:
        return OnnxQuantizer(self._float_onnx, self._source.spec, self._calibration, self._target)
