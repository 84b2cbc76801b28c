"""The interface that the int8 quantizers of both formats share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fmx_export.common.layer_errors import LayerError
    from fmx_export.common.quantization_config import QuantizationConfig

__all__ = ["ANALYZED_IMAGES", "Quantizer"]

ANALYZED_IMAGES = 32
"""Number of calibration images on which the layers are compared with float."""


class Quantizer(Protocol):
    """Quantizes one network to int8, with one quantization config after another."""

    def quantize(self, config: QuantizationConfig) -> bytes:
        """Return the int8 model, without metadata.

        Raises:
            ExportError: the network cannot be quantized.
        """

    def layer_errors(self) -> tuple[LayerError, ...]:
        """Measure the quantization error of each layer, with min-max calibration.

        Raises:
            ExportError: the errors cannot be measured.
        """
