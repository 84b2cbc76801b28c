"""What values each tensor of a float network takes, as the range that 8 bits are laid over.

One way for both formats: their interpreters give the activations, onnxruntime's collector takes the
ranges from the histograms.
"""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

from onnxruntime.quantization.calibrate import HistogramCollector

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from fmx_export.plan import Method

__all__ = ["Ranges", "tensor_ranges"]

Ranges = dict[str, tuple[float, float]]
"""Tensor name -> smallest and largest value."""

_PERCENTILE = 99.99
_BINS, _QUANTIZED_BINS = 1024, 128
"""Of a histogram around zero, and of the quantized one that entropy compares it with."""


def tensor_ranges(
    activations: Iterable[Mapping[str, NDArray[np.float32]]], method: Method
) -> Ranges:
    """The range of each tensor over the calibration pictures.

    Args:
        activations: for each picture, float32 arrays of any shape by tensor name.
        method: see `fmx_export.plan.Method`.

    Returns:
        Ranges that hold zero, as padding and ReLU need it to be exact.
    """
    if method == "min-max":
        return _extremes(activations)
    collector = HistogramCollector(
        method=method,
        symmetric=False,
        num_bins=_BINS,
        num_quantized_bins=_QUANTIZED_BINS,
        percentile=_PERCENTILE,
        scenario="same",
    )
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
        for tensors in activations:
            collector.collect(tensors)
        found = collector.compute_collection_result()
    return {name: _with_zero(float(low), float(high)) for name, (low, high, *_) in found.items()}


def _extremes(activations: Iterable[Mapping[str, NDArray[np.float32]]]) -> Ranges:
    ranges: Ranges = {}
    for tensors in activations:
        for name, values in tensors.items():
            low, high = ranges.get(name, (0.0, 0.0))
            ranges[name] = min(low, float(values.min())), max(high, float(values.max()))
    return ranges


def _with_zero(low: float, high: float) -> tuple[float, float]:
    return min(low, 0.0), max(high, 0.0)
