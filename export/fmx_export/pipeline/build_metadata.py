"""Build the model metadata of one exported file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fmx_export.common.calibration import calibration_digest
from fmx_export.common.quantization_config import WEIGHT_BITS
from fmx_export.pipeline.formats import Format
from fmx_runtime.model_file.metadata import ModelMetadata, Quantization

if TYPE_CHECKING:
    from fmx_export.common.calibration import CalibrationSet
    from fmx_export.common.quantization_config import QuantizationConfig, Target
    from fmx_export.source.source_model import SourceModel

__all__ = ["MetadataBuilder"]

_SCHEMES = {
    Format.TFLITE_INT8: "int8 per-channel weights, int8 activations, uint8 in and out",
    Format.TFLITE_INT16X8: "int8 per-channel weights, int16 activations, float32 in and out",
    Format.ONNX_INT8: "QDQ: {bits}-bit per-channel weights, uint8 activations, uint8 in, float out",
}
"""Quantization scheme of each calibrated format, as the metadata states it."""


@dataclass(frozen=True)
class MetadataBuilder:
    """Builds the metadata of the files of one export.

    Attributes:
        source: the Keras model's name, labels, input and provenance.
        calibration: the calibration set.
        target: the processor that int8 files are made for.
        output: what the Keras model's output holds.
    """

    source: SourceModel
    calibration: CalibrationSet
    target: Target
    output: Literal["probabilities", "logits"]

    def build(self, file_format: Format, config: QuantizationConfig) -> ModelMetadata:
        """Return the metadata of a file, without accuracy, test vectors and checksums.

        Args:
            file_format: the file's format; only int8 files have uint8 input.
            config: how the file was quantized; not used for formats without calibration.
        """
        source, spec = self.source, self.source.spec
        if file_format.precision == "int8":
            spec = dataclasses.replace(spec, dtype="uint8")
        quantization = None
        if file_format.needs_calibration:
            quantization = self._quantization(file_format, config)
        return ModelMetadata(
            name=source.name,
            precision=file_format.precision,
            labels=source.labels,
            input=spec,
            output=self.output,
            provenance=source.provenance,
            quantization=quantization,
        )

    def _quantization(self, file_format: Format, config: QuantizationConfig) -> Quantization:
        return Quantization(
            scheme=_SCHEMES[file_format].format(bits=WEIGHT_BITS[self.target]),
            calibration=config.calibration,
            split=self.calibration.split,
            size=len(self.calibration.images),
            seed=self.calibration.seed,
            digest=calibration_digest(self.calibration.images),
            excluded_layers=config.excluded_layers,
        )
