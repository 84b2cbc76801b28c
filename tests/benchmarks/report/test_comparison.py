"""The rows of a comparison."""

from __future__ import annotations

import math

from fmx_benchmarks.report import comparison as reports
from fmx_benchmarks.statistics.compare import Change, Comparison, Unknown
from fmx_benchmarks.statistics.confidence_intervals import Estimate
from fmx_benchmarks.statistics.metrics import METRICS
from fmx_benchmarks.statistics.regression_limits import judge, parse


def _comparison(*changes: Change, unknown: tuple[Unknown, ...] = ()) -> Comparison:
    return Comparison(
        changes, unknown, added=("ONNX int8",), failures=("a.onnx: damaged",), same_images=False
    )


SLOWER = Change("TFLite int8", "latency_p50", 10, 13, Estimate(30, 28.5, 31))
SAME_SIZE = Change("TFLite int8", "size", 240_000, 240_000, Estimate(0, 0, 0))
FEW = Change("TFLite int8", "throughput", 1, 2, Estimate(100, -math.inf, math.inf))
LOSS = Change("TFLite int8", "log_loss", 0.2314, 0.2328, Estimate(0.0014, -0.001, 0.004))


def test_rows() -> None:
    """Values and changes have the units of their metric; real changes are marked."""
    rows = reports.comparison_rows(_comparison(SLOWER, SAME_SIZE, FEW, LOSS))
    assert rows == (
        ("TFLite int8", "latency_p50", "10 µs", "13 µs", "+30.00 %", "+28.50 to +31.00", "*"),
        ("TFLite int8", "size", "240 KB", "240 KB", "+0.00 %", "exact", ""),
        ("TFLite int8", "throughput", "1 /s", "2 /s", "+100.00 %", "too few repeats", ""),
        ("TFLite int8", "log_loss", "0.2314", "0.2328", "+0.0014", "-0.0010 to +0.0040", ""),
    )


def test_every_metric_has_a_unit() -> None:
    """A new metric cannot be forgotten in the table."""
    assert set(reports._VALUE_UNITS) == set(METRICS)


def test_remarks() -> None:
    """Each reason is listed once, then what is new, failed, and the other images."""
    gone = Unknown("Keras float32", "size", "Keras float32 is not in the new result")
    assert reports.remarks(_comparison(unknown=(gone, gone))) == (
        "Keras float32 is not in the new result",
        "ONNX int8 is new",
        "not measured: a.onnx: damaged",
        "the images differ: predictions are compared as two samples",
    )


def test_verdicts() -> None:
    """A limit passed, failed, or cannot be judged; the change and the reason are named."""
    comparison = _comparison(SLOWER, SAME_SIZE)
    slower = "TFLite int8: latency_p50 changed by +30.00 % (+28.50 to +31.00)"
    texts = {
        "size > 0%": ("passed: 'size > 0%'",),
        "latency_p50 > +10%": (f"failed: 'latency_p50 > +10%': {slower}",),
        "memory > 0%": (
            "cannot be judged: 'memory > 0%': no model file in both results has memory",
        ),
    }
    for text, lines in texts.items():
        assert reports.describe_verdict(judge(parse(text), comparison)) == lines
