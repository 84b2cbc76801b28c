"""How a network is made int8: which ranges its activations get, and what stays in float."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["METHODS", "WEIGHT_BITS", "Method", "QuantizationConfig", "Target"]

Method = Literal["min-max", "percentile", "entropy"]
"""How an activation's range is taken from what the calibration images bring about in it.

- ``min-max``: from the smallest value to the largest; nothing is clipped.
- ``percentile``: what 99.99 % of the values lie in; rare outliers are clipped.
- ``entropy``: the range whose 8-bit histogram diverges least from the float one (Kullback-Leibler,
  as in TensorRT's calibration: Migacz, "8-bit inference with TensorRT", GTC 2017).
"""

METHODS: tuple[Method, ...] = ("min-max", "percentile", "entropy")
"""In the order in which they are tried."""

Target = Literal["x86-64", "arm64"]
"""The processors whose int8 arithmetic differs."""

WEIGHT_BITS: dict[Target, int] = {"x86-64": 7, "arm64": 8}
"""Of int8 ONNX. With 8 bits, x86-64 processors before VNNI (AVX2, AVX-512) would cut off sums of
two products at 16 bits, and answer otherwise than later ones; Arm has no such instruction."""


@dataclass(frozen=True)
class QuantizationConfig:
    """One way of making a network int8."""

    calibration: Method = "min-max"
    excluded_layers: tuple[str, ...] = ()
    """Layers that stay in float, by the names that `layer_errors` gives them."""
