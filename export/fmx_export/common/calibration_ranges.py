"""Compute the range of each activation, which 8-bit values are mapped to.

Both formats share this code: their interpreters deliver the activations of the float network, and
onnxruntime's histogram collector derives the ranges of the percentile and entropy methods.
"""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from onnxruntime.quantization.calibrate import HistogramCollector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from fmx_export.common.quantization_config import Method

__all__ = ["Ranges", "tensor_ranges"]

Ranges = dict[str, tuple[float, float]]
"""Tensor name -> smallest and largest value."""

_PERCENTILE = 99.99
_HISTOGRAM_BINS: dict[Method, int] = {"percentile": 1 << 14, "entropy": 1024}
"""Bins of a histogram that is symmetric around zero. The time of the entropy method grows with
their cube."""
_QUANTIZED_BINS = 128
"""Bins of the quantized histogram that the entropy method compares with the float one."""


def tensor_ranges(
    activations: Callable[[], Iterable[Mapping[str, NDArray[np.float32]]]], method: Method
) -> Ranges:
    """Compute the range of each tensor over the calibration images.

    Args:
        activations: returns, for one image after another, float32 arrays of any shape by tensor
            name. It is called once for each pass over the images.
        method: see `fmx_export.common.quantization_config.Method`.

    Returns:
        Ranges that contain zero, because padding and ReLU need an exact zero.
    """
    min_max = _min_max(activations())
    if method == "min-max":
        return min_max
    bins = _HISTOGRAM_BINS[method]
    collector = HistogramCollector(
        method=method,
        symmetric=False,
        num_bins=bins,
        num_quantized_bins=_QUANTIZED_BINS,
        percentile=_PERCENTILE,
        scenario="same",
    )
    # without this the collector takes the bin width from the first image and adds bins for the
    # others: after a dark first image there are so many that the entropy method takes minutes
    collector.histogram_dict = {
        name: _empty_histogram(low, high, bins) for name, (low, high) in min_max.items()
    }
    with contextlib.redirect_stdout(io.StringIO()):  # the collector prints its progress
        for tensors in activations():
            collector.collect(tensors)
        found = collector.compute_collection_result()
    return {name: _with_zero(float(low), float(high)) for name, (low, high, *_) in found.items()}


def _min_max(activations: Iterable[Mapping[str, NDArray[np.float32]]]) -> Ranges:
    """Return the smallest and the largest value of each tensor, zero included."""
    ranges: Ranges = {}
    for tensors in activations:
        for name, values in tensors.items():
            low, high = ranges.get(name, (0.0, 0.0))
            ranges[name] = min(low, float(values.min())), max(high, float(values.max()))
    return ranges


def _empty_histogram(low: float, high: float, bins: int) -> tuple[Any, ...]:
    """Return a histogram in the collector's format: counts, edges, minimum, maximum, threshold."""
    extremes = np.array([low, high], np.float32)
    threshold = np.abs(extremes).max()
    no_values = extremes[:0]
    counts, edges = np.histogram(no_values, bins, range=(-threshold, threshold))
    return counts, edges, *extremes, threshold


def _with_zero(low: float, high: float) -> tuple[float, float]:
    return min(low, 0.0), max(high, 0.0)
