"""Quantization config: how a network is quantized to int8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["METHODS", "WEIGHT_BITS", "Method", "QuantizationConfig", "Target"]

Method = Literal["min-max", "percentile", "entropy"]
"""Calibration method: how an activation's range is derived from the calibration images.

- ``min-max``: from the smallest value to the largest; nothing is clipped.
- ``percentile``: the range that holds 99.99 % of the values; outliers are clipped.
- ``entropy``: the range whose 8-bit histogram diverges least from the float one (Kullback-Leibler,
  as in TensorRT's calibration: Migacz, "8-bit inference with TensorRT", GTC 2017).
"""

METHODS: tuple[Method, ...] = ("min-max", "percentile", "entropy")
"""All calibration methods, in the order in which accuracy control tries them."""

Target = Literal["x86-64", "arm64"]
"""Processor families whose int8 arithmetic differs."""

WEIGHT_BITS: dict[Target, int] = {"x86-64": 7, "arm64": 8}
"""Bits of the weights in int8 ONNX. With 8 bits, x86-64 processors without VNNI (AVX2, AVX-512)
saturate sums of two products at 16 bits, so their results differ from those of later processors.
Arm has no such instruction."""


@dataclass(frozen=True)
class QuantizationConfig:
    """Settings of an int8 quantization.

    Attributes:
        calibration: method that sets the ranges of the activations.
        excluded_layers: layers that stay in float, by the names that `LayerError` gives them.
    """

    calibration: Method = "min-max"
    excluded_layers: tuple[str, ...] = ()
