"""Bootstrap intervals over the repeats."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fmx_benchmarks.statistics.confidence_intervals import (
    Estimate,
    median_estimate,
    ratio_estimate,
)


def test_few_repeats_have_no_bounds() -> None:
    """With one or two repeats no change is significant."""
    assert not ratio_estimate([10, 10], [1, 1]).excludes(1)
    assert median_estimate([2.0]) == Estimate(2.0, float("-inf"), float("inf"))
    assert median_estimate([2.0] * 3) == Estimate(2.0, 2.0, 2.0)


@given(st.lists(st.floats(1, 1e6), min_size=3, max_size=12))
def test_an_interval_contains_its_median(values: list[float]) -> None:
    """The median lies in its interval, and the interval within the values."""
    found = median_estimate(values)
    assert found.low <= found.value * (1 + 1e-12)
    assert found.value <= found.high * (1 + 1e-12)
    assert min(values) <= found.low * (1 + 1e-12)
    assert found.high <= max(values) * (1 + 1e-12)
