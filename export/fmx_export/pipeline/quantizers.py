"""The int8 side of both formats behind one face, for the gate that tries one plan after another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fmx_export.common.quantization_config import Plan
from fmx_export.onnx.convert import serialize
from fmx_export.onnx.layer_errors import onnx_layer_errors
from fmx_export.onnx.quantize import calibrate_onnx, prepare_onnx, quantize_onnx, take_raw_pixels
from fmx_export.tflite.convert import quantizing_converter
from fmx_export.tflite.layer_errors import tflite_layer_errors
from fmx_export.tflite.quantize import calibrate_tflite, quantize_tflite
from fmx_runtime.images.preprocess import to_tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx
    from numpy.typing import NDArray

    from fmx_export.common.calibration_ranges import Ranges
    from fmx_export.common.layer_errors import LayerError
    from fmx_export.common.quantization_config import Method, Target
    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["OnnxQuantizer", "Quantizer", "TFLiteQuantizer"]

_COMPARED = 32
"""Calibration images on which layers are compared with float."""


class Quantizer(Protocol):
    """Makes int8 files of one network, by different plans."""

    def quantize(self, plan: Plan) -> bytes:
        """The int8 file's model.

        Raises:
            ExportError: it cannot be made.
        """

    def layer_errors(self) -> tuple[LayerError, ...]:
        """What each layer loses, quantized with min-max ranges.

        Raises:
            ExportError: it cannot be measured.
        """


class TFLiteQuantizer:
    """Satisfies `Quantizer`."""

    def __init__(
        self, model: Any, float_model: bytes, spec: InputSpec, calibration: NDArray[np.uint8]
    ) -> None:
        """Take the Keras model, its float file, its input, and the calibration images."""
        self._model, self._float_model = model, float_model
        self._spec, self._calibration = spec, calibration
        self._ranges: dict[Method, Ranges] = {}

    def ranges(self, plan: Plan) -> Ranges:
        """Of the activations; found once for each method."""
        method = plan.calibration
        if method not in self._ranges:
            self._ranges[method] = calibrate_tflite(
                self._float_model, spec=self._spec, calibration=self._calibration, plan=plan
            )
        return self._ranges[method]

    def quantize(self, plan: Plan) -> bytes:
        """See `Quantizer.quantize`."""
        return quantize_tflite(self._float_model, ranges=self.ranges(plan), plan=plan)

    def layer_errors(self) -> tuple[LayerError, ...]:
        """See `Quantizer.layer_errors`."""
        converter = quantizing_converter(self._model, self._spec, self._calibration)
        return tflite_layer_errors(converter, _tensors(self._calibration, self._spec))


class OnnxQuantizer:
    """Satisfies `Quantizer`."""

    def __init__(
        self,
        float_model: onnx.ModelProto,
        spec: InputSpec,
        calibration: NDArray[np.uint8],
        target: Target,
    ) -> None:
        """Take the float network, its input, the calibration images, and the processor."""
        self._prepared = prepare_onnx(float_model)
        self._spec, self._calibration, self._target = spec, calibration, target
        self._ranges: dict[Method, Ranges] = {}

    def quantize(self, plan: Plan) -> bytes:
        """See `Quantizer.quantize`."""
        return serialize(take_raw_pixels(self._quantized(plan), self._spec))

    def layer_errors(self) -> tuple[LayerError, ...]:
        """See `Quantizer.layer_errors`."""
        quantized = self._quantized(Plan())
        return onnx_layer_errors(self._prepared, quantized, _tensors(self._calibration, self._spec))

    def _quantized(self, plan: Plan) -> onnx.ModelProto:
        method = plan.calibration
        if method not in self._ranges:
            self._ranges[method] = calibrate_onnx(
                self._prepared, spec=self._spec, calibration=self._calibration, plan=plan
            )
        return quantize_onnx(
            self._prepared,
            spec=self._spec,
            ranges=self._ranges[method],
            plan=plan,
            target=self._target,
        )


def _tensors(images: NDArray[np.uint8], spec: InputSpec) -> Iterator[NDArray[np.float32]]:
    for pixels in images[:_COMPARED]:
        yield to_tensor(pixels[np.newaxis], spec)
