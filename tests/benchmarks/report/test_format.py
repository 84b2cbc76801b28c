"""How figures are written."""

from __future__ import annotations

import math

from fmx_benchmarks.report import format as formats
from fmx_benchmarks.report.format import signed
from fmx_benchmarks.statistics.confidence_intervals import Estimate


def test_zero_has_no_sign() -> None:
    """Signs are those of what is shown: -0.001 points are 0.00."""
    assert [signed(value) for value in (-0.001, 0.0, 0.26, -0.26)] == [
        "0.00",
        "0.00",
        "+0.26",
        "\N{MINUS SIGN}0.26",
    ]


def test_other_figures() -> None:
    """Small p-values are powers of ten, and an unbounded interval is not shown."""
    assert [formats.p_value(value) for value in (0.5, 0.01, 0.0004)] == ["0.50", "0.01", "4e-04"]
    assert formats.bounds(Estimate(1, 0.5, 2)) == " (0.50 to 2.00)"
    assert not formats.bounds(Estimate(1, -math.inf, math.inf))
    assert [formats.microseconds(value) for value in (15.12, 2345.6)] == ["15.1", "2,346"]
    assert (formats.count(29636.4), formats.count(None)) == ("29,636", "")
    assert formats.percent_interval((0.91, 0.9212)) == "91.00 to 92.12"
