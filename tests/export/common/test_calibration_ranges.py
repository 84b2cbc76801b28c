"""Ranges of activations whose values are known."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fmx_export.common.calibration_ranges import tensor_ranges
from fmx_export.common.quantization_config import METHODS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fmx_export.common.quantization_config import Method

IMAGES = st.lists(
    arrays.arrays(
        np.float32, (2, 9), elements=st.floats(-(2.0**9), 2.0**9, width=32, allow_subnormal=False)
    ),
    min_size=1,
    max_size=4,
)


def bell(seed: int, size: int) -> NDArray[np.float32]:
    """Return normally distributed values, like the output of a convolution."""
    return np.random.default_rng(seed).normal(size=size).astype(np.float32)


def range_of(images: list[NDArray[np.float32]], method: Method) -> tuple[float, float]:
    """Return the range of one tensor."""
    return tensor_ranges(lambda: ({"x": image} for image in images), method)["x"]


@given(IMAGES)
def test_min_max_contains_all_values(images: list[NDArray[np.float32]]) -> None:
    """The range goes from the smallest value of all images to the largest, and contains zero."""
    values = np.array(images)
    assert range_of(images, "min-max") == (min(0, values.min()), max(0, values.max()))


@settings(max_examples=20)
@given(IMAGES, st.sampled_from(["percentile", "entropy"]))
def test_other_methods_stay_inside_min_max(
    images: list[NDArray[np.float32]], method: Method
) -> None:
    """The ranges of the other methods contain zero and lie inside those of min-max."""
    low, high = range_of(images, method)
    lowest, highest = range_of(images, "min-max")
    assert lowest <= low <= 0 <= high <= highest


@pytest.mark.parametrize("outlier", [50, 1_000, -1_000])
def test_percentile_clips_a_rare_outlier(outlier: float) -> None:
    """One value in 100,000 is clipped, however large; 99.9 % of the others are not."""
    values = bell(0, 99_999)
    low, high = range_of([np.append(values, np.float32(outlier))], "percentile")
    assert -5 < low < -3
    assert 3 < high < 5
    assert np.mean((low <= values) & (values <= high)) > 0.999


def test_percentile_keeps_frequent_values() -> None:
    """One value in 1,000 is not clipped."""
    values = np.append(bell(0, 999), np.float32(50))
    assert range_of([values], "percentile")[1] == pytest.approx(50, abs=0.01)


def test_entropy_clips_long_tails() -> None:
    """Rare large values are clipped; of a uniform distribution almost nothing is."""
    rng = np.random.default_rng(0)
    tailed = [rng.standard_t(3, size=50_000).astype(np.float32)]
    even = [rng.uniform(-1, 1, size=50_000).astype(np.float32)]
    assert range_of(tailed, "entropy")[1] < range_of(tailed, "min-max")[1] / 2
    assert range_of(even, "entropy") == pytest.approx((-1, 1), abs=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_a_dark_first_image_is_not_slow(method: Method) -> None:
    """A first image with values of a thousandth takes no minutes, and order does not matter."""
    dark, *others = [bell(seed, 5_000) for seed in range(20)]
    begun = time.perf_counter()
    first = range_of([dark / 1_000, *others], method)
    assert time.perf_counter() - begun < 10
    assert first == range_of([*others, dark / 1_000], method)


@pytest.mark.parametrize("method", METHODS)
def test_a_tensor_of_zeros(method: Method) -> None:
    """The output of a dead ReLU has an empty range."""
    assert range_of([np.zeros(5, np.float32)] * 2, method) == (0, 0)


@pytest.mark.parametrize("method", METHODS)
def test_each_tensor_has_its_own_range(method: Method, capsys: pytest.CaptureFixture[str]) -> None:
    """Tensors of any shape have ranges of their own, equal each time; nothing is printed."""

    def activations() -> Iterator[dict[str, NDArray[np.float32]]]:
        for seed in range(3):
            yield {"wide": 9 * bell(seed, 60).reshape(3, 4, 5), "positive": abs(bell(seed, 60))}

    found = tensor_ranges(activations, method)
    assert list(found) == ["wide", "positive"]
    assert found["wide"][1] > 4 * found["positive"][1]
    assert found["positive"][0] == 0
    assert tensor_ranges(activations, method) == found
    assert capsys.readouterr() == ("", "")
