"""The int8 quantizer of TFLite, as accuracy control uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fmx_export.common.calibration import model_inputs
from fmx_export.common.quantizer import ANALYZED_IMAGES
from fmx_export.tflite.calibrate import calibrate_tflite
from fmx_export.tflite.convert import quantizing_converter
from fmx_export.tflite.layer_errors import tflite_layer_errors
from fmx_export.tflite.quantize import quantize_tflite

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fmx_export.common.calibration_ranges import Ranges
    from fmx_export.common.layer_errors import LayerError
    from fmx_export.common.quantization_config import Method, QuantizationConfig
    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["TFLiteQuantizer"]


class TFLiteQuantizer:
    """Quantizes a network to int8 TFLite; implements `Quantizer`."""

    def __init__(
        self, model: Any, float_model: bytes, spec: InputSpec, calibration: NDArray[np.uint8]
    ) -> None:
        """Store the arguments; nothing is quantized yet.

        Args:
            model: built Keras model.
            float_model: its float32 TFLite file, as `export_tflite` returns it.
            spec: the Keras model's input.
            calibration: uint8 ``(n, height, width, channels)``.
        """
        self._model, self._float_model = model, float_model
        self._spec, self._calibration = spec, calibration
        self._ranges: dict[Method, Ranges] = {}

    def ranges(self, config: QuantizationConfig) -> Ranges:
        """Return the calibration ranges; each calibration method is run once."""
        method = config.calibration
        if method not in self._ranges:
            self._ranges[method] = calibrate_tflite(
                self._float_model, spec=self._spec, calibration=self._calibration, config=config
            )
        return self._ranges[method]

    def quantize(self, config: QuantizationConfig) -> bytes:
        """See `Quantizer.quantize`."""
        return quantize_tflite(self._float_model, ranges=self.ranges(config), config=config)

    def layer_errors(self) -> tuple[LayerError, ...]:
        """See `Quantizer.layer_errors`."""
        converter = quantizing_converter(self._model, self._spec, self._calibration)
        inputs = model_inputs(self._calibration[:ANALYZED_IMAGES], self._spec)
        return tflite_layer_errors(converter, inputs)
