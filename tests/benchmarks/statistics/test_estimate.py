"""Bootstrap intervals over the rounds."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from fmx_benchmarks.statistics.estimate import Estimate, median_of, ratio_of


def test_few_rounds_tell_nothing() -> None:
    """Of one or two rounds no change is known to be real."""
    assert not ratio_of([10, 10], [1, 1]).is_beyond(1)
    assert median_of([2.0]) == Estimate(2.0, float("-inf"), float("inf"))
    assert median_of([2.0] * 3) == Estimate(2.0, 2.0, 2.0)


@settings(deadline=None)  # the first call loads SciPy
@given(st.lists(st.floats(1, 1e6), min_size=3, max_size=12))
def test_an_interval_holds_its_median(values: list[float]) -> None:
    """The median lies in its interval, and the interval within the values."""
    found = median_of(values)
    assert found.low <= found.value * (1 + 1e-12)
    assert found.value <= found.high * (1 + 1e-12)
    assert min(values) <= found.low * (1 + 1e-12)
    assert found.high <= max(values) * (1 + 1e-12)
