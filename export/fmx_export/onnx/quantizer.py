"""The int8 quantizer of ONNX, as accuracy control uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_export.common.calibration import model_inputs
from fmx_export.common.quantization_config import QuantizationConfig
from fmx_export.common.quantizer import ANALYZED_IMAGES
from fmx_export.onnx.calibrate import calibrate_onnx
from fmx_export.onnx.convert import serialize
from fmx_export.onnx.layer_errors import onnx_layer_errors
from fmx_export.onnx.quantize import prepare_onnx, quantize_onnx
from fmx_export.onnx.uint8_input import to_uint8_input

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

    from fmx_export.common.calibration_ranges import Ranges
    from fmx_export.common.layer_errors import LayerError
    from fmx_export.common.quantization_config import Method, Target
    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["OnnxQuantizer"]


class OnnxQuantizer:
    """Quantizes a network to int8 ONNX; implements `fmx_export.common.quantizer.Quantizer`."""

    def __init__(
        self,
        float_model: onnx.ModelProto,
        spec: InputSpec,
        calibration: NDArray[np.uint8],
        target: Target,
    ) -> None:
        """Prepare a float model for quantization.

        Args:
            float_model: float32, as `fmx_export.onnx.convert.export_onnx` returns it.
            spec: the Keras model's input, float32.
            calibration: calibration images, uint8 ``(n, height, width, channels)``.
            target: the processor that the file is for.

        Raises:
            ExportError: onnxruntime cannot read the model.
        """
        self._prepared = prepare_onnx(float_model)
        self._spec, self._calibration, self._target = spec, calibration, target
        self._ranges: dict[Method, Ranges] = {}

    def quantize(self, config: QuantizationConfig) -> bytes:
        """See `Quantizer.quantize`."""
        return serialize(to_uint8_input(self._quantized(config), self._spec))

    def layer_errors(self) -> tuple[LayerError, ...]:
        """See `Quantizer.layer_errors`."""
        quantized = self._quantized(QuantizationConfig())
        inputs = model_inputs(self._calibration[:ANALYZED_IMAGES], self._spec)
        return onnx_layer_errors(self._prepared, quantized, inputs)

    def _quantized(self, config: QuantizationConfig) -> onnx.ModelProto:
        """Return the QDQ model with float input; each calibration method is run once."""
        method = config.calibration
        if method not in self._ranges:
            self._ranges[method] = calibrate_onnx(
                self._prepared, spec=self._spec, calibration=self._calibration, config=config
            )
        return quantize_onnx(
            self._prepared,
            spec=self._spec,
            ranges=self._ranges[method],
            config=config,
            target=self._target,
        )
