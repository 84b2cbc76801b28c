"""The color model: how much more common a color is in the garment than in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fmx_runtime.images.segmentation.pixel_grid import channel_planes

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int32]
    IndexArray = NDArray[np.intp]

__all__ = ["EVIDENCE_PER_BIT", "bins_with_neighbors", "color_bins", "color_evidence"]

EVIDENCE_PER_BIT = 16
"""Evidence is the log-odds of garment against background: this much doubles the odds."""

_MAX_EVIDENCE = 4 * EVIDENCE_PER_BIT

_BINS = 16  # of each of the three channels
_BIN_COUNT = _BINS**3
_SHARE_UNITS = 1_000_000
_MIN_SHARE = 24  # millionths; no color is impossible
# Offsets from a bin to the 27 bins around and including it, and their weights, (1 2 1) per channel
_NEIGHBOR_OFFSETS = np.indices((3, 3, 3)).reshape(3, 1, 27) - 1
_NEIGHBOR_WEIGHTS = (2.0 - np.abs(_NEIGHBOR_OFFSETS)).prod(0)[0]
_WEIGHT_SUM = 64
_CENTER_BIN = 13  # the place of the bin itself among the 27


def color_bins(image: Image.Image) -> IndexArray:
    """Return the histogram bin of each pixel's color: ``(h, w)``, 0 to 4095.

    The bins are of YCbCr. Those of the two color channels are half as wide as those of brightness,
    which changes with the light; the rare colors beyond them go to the outermost bins.
    """
    brightness, blue, red = channel_planes(image.convert("YCbCr"))
    blue, red = (np.clip((channel - 64) // 8, 0, _BINS - 1) for channel in (blue, red))
    bins: IndexArray = ((brightness // 16 * _BINS + blue) * _BINS + red).astype(np.intp)
    return bins


def bins_with_neighbors(bins: IndexArray) -> IndexArray:
    """Return the bins that occur, each with the 27 bins around and including it: ``(n, 27)``."""
    cube = (_BINS, _BINS, _BINS)
    occurring = np.argwhere(np.bincount(bins.ravel(), minlength=_BIN_COUNT).reshape(cube))
    around = occurring.T[..., np.newaxis] + _NEIGHBOR_OFFSETS
    flat: IndexArray = np.ravel_multi_index((*around,), cube, "clip")
    return flat


def color_evidence(
    bins: IndexArray, occurring_bins: IndexArray, garment: IntArray, background: IntArray
) -> IntArray:
    """Return the log-odds of each pixel's color, garment against background: ``(h, w)``."""
    log_odds = _log2(_color_shares(bins, occurring_bins, garment)) - _log2(
        _color_shares(bins, occurring_bins, background)
    )
    evidence_of_bin = np.zeros(_BIN_COUNT, np.int32)
    evidence_of_bin[occurring_bins[:, _CENTER_BIN]] = log_odds.clip(-_MAX_EVIDENCE, _MAX_EVIDENCE)
    return evidence_of_bin[bins]


def _color_shares(bins: IndexArray, occurring_bins: IndexArray, weights: IntArray) -> FloatArray:
    """Return the share of each occurring bin, in millionths, smoothed over the bins around it.

    All values are whole numbers below 2^53, so floats hold them exactly.
    """
    counts = np.bincount(bins.ravel(), weights.ravel(), _BIN_COUNT)
    smoothed: FloatArray = counts[occurring_bins] @ _NEIGHBOR_WEIGHTS * _SHARE_UNITS
    return smoothed // (_WEIGHT_SUM * max(1, int(weights.sum()))) + _MIN_SHARE


def _log2(numbers: FloatArray) -> IntArray:
    """Return 16 times the binary logarithm, up to a constant.

    It is linear between powers of two, which is exact on every machine, unlike `numpy.log2`.
    """
    mantissa, exponent = np.frexp(numbers)
    fraction = (mantissa * 2 * EVIDENCE_PER_BIT).astype(np.int32)
    return exponent.astype(np.int32) * EVIDENCE_PER_BIT + fraction
