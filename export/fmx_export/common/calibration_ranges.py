"""What values each tensor of a float network takes, as the range that 8 bits are laid over.

One way for both formats: their interpreters give the activations, onnxruntime's collector takes the
ranges from the histograms.
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
_BINS: dict[Method, int] = {"percentile": 1 << 14, "entropy": 1024}
"""Of a histogram around zero; entropy's time grows with their cube."""
_QUANTIZED_BINS = 128
"""Of the histogram that entropy compares with."""


def tensor_ranges(
    activations: Callable[[], Iterable[Mapping[str, NDArray[np.float32]]]], method: Method
) -> Ranges:
    """The range of each tensor over the calibration images.

    Args:
        activations: gives, for each image, float32 arrays of any shape by tensor name; called
            once for each time that the images are gone through.
        method: see `fmx_export.common.quantization_config.Method`.

    Returns:
        Ranges that hold zero, as padding and ReLU need it to be exact.
    """
    extremes = _extremes(activations())
    if method == "min-max":
        return extremes
    collector = HistogramCollector(
        method=method,
        symmetric=False,
        num_bins=_BINS[method],
        num_quantized_bins=_QUANTIZED_BINS,
        percentile=_PERCENTILE,
        scenario="same",
    )
    # left to itself it takes the bins' width from the first image, and adds bins for the others:
    # a dark image that comes first makes them so many that entropy takes minutes
    collector.histogram_dict = {
        name: _empty_histogram(low, high, _BINS[method]) for name, (low, high) in extremes.items()
    }
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
        for tensors in activations():
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


def _empty_histogram(low: float, high: float, bins: int) -> tuple[Any, ...]:
    """As the collector keeps them: counts, edges, extremes, and the outermost edge."""
    ends = np.array([low, high], np.float32)
    edge = np.abs(ends).max()
    return (*np.histogram(ends[:0], bins, range=(-edge, edge)), *ends, edge)


def _with_zero(low: float, high: float) -> tuple[float, float]:
    return min(low, 0.0), max(high, 0.0)
