from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fmx_runtime.images.segmentation.color_model import (
    EVIDENCE_PER_BIT,
    _log2,
    bins_with_neighbors,
    color_bins,
    color_evidence,
)


def halves() -> Image.Image:
    """Return an image that is red on the left and green on the right."""
    image = Image.new("RGB", (40, 40), "green")
    image.paste("red", (0, 0, 20, 40))
    return image


def test_bins() -> None:
    """Equal colors share a bin, different colors do not, and each is among its own neighbors."""
    bins = color_bins(halves())
    assert len(np.unique(bins[:, :20])) == len(np.unique(bins[:, 20:])) == 1
    assert bins[0, 0] != bins[0, 39]
    occurring = bins_with_neighbors(bins)
    assert occurring.shape == (2, 27)
    assert set(occurring[:, 13].tolist()) == set(np.unique(bins).tolist())


def test_evidence() -> None:
    """Colors of the garment have positive evidence, those of the background negative."""
    bins = color_bins(halves())
    garment = np.zeros((40, 40), np.int32)
    garment[:, :20] = 64
    evidence = color_evidence(bins, bins_with_neighbors(bins), garment, 64 - garment)
    assert np.all(evidence[:, :20] == 4 * EVIDENCE_PER_BIT)
    assert np.all(evidence[:, 20:] == -4 * EVIDENCE_PER_BIT)
    nothing = np.full((40, 40), 32, np.int32)
    assert not color_evidence(bins, bins_with_neighbors(bins), nothing, nothing).any()


@given(st.integers(1, 2**40), st.integers(1, 2**40))
def test_log2(one: int, other: int) -> None:
    """Differences are those of the binary logarithm, to less than 3/16 of a bit."""
    values = _log2(np.array([one, other], np.float64))
    exact = EVIDENCE_PER_BIT * (np.log2(one) - np.log2(other))
    assert abs(int(values[0]) - int(values[1]) - exact) < 3
