"""Format figures: percent, intervals, p-values, microseconds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fmx_benchmarks.statistics.confidence_intervals import Estimate

__all__ = ["bounds", "count", "microseconds", "p_value", "percent_interval", "signed"]


def signed(value: float) -> str:
    """Return two decimals with a sign; what rounds to zero has none."""
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}") if round(value, 2) else "0.00"


def percent_interval(interval: tuple[float, float], *, with_sign: bool = False) -> str:
    """Return an interval of fractions as percent, for example ``91.03 to 92.12``."""
    low, high = (100 * bound for bound in interval)
    if with_sign:
        return f"{signed(low)} to {signed(high)}"
    return f"{low:.2f} to {high:.2f}"


def bounds(estimate: Estimate) -> str:
    """Return `` (LOW to HIGH)``; nothing if the interval is unbounded."""
    if math.isinf(estimate.high):
        return ""
    return f" ({estimate.low:.2f} to {estimate.high:.2f})"


def p_value(value: float) -> str:
    """Return two decimals, or a power of ten for small values."""
    return f"{value:.2f}" if value >= 0.01 else f"{value:.0e}"  # noqa: PLR2004


def microseconds(value: float) -> str:
    """Return three or more significant digits."""
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"  # noqa: PLR2004


def count(value: float | None) -> str:
    """Return a whole number with thousands separators; nothing for None."""
    return "" if value is None else f"{value:,.0f}"
