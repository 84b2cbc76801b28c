"""The figures of a run as rows of text: the same cells for the terminal, Markdown and HTML."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmx_benchmarks.report.format import (
    bounds,
    count,
    microseconds,
    p_value,
    percent_interval,
    signed,
)
from fmx_benchmarks.statistics.confidence_intervals import median_estimate
from fmx_benchmarks.statistics.display_names import model_title

if TYPE_CHECKING:
    from fmx_benchmarks.statistics.analysis import Analysis
    from fmx_runtime.bench.result import Run, Variant

__all__ = [
    "COLUMNS",
    "REFERENCE_TOOL_HEADINGS",
    "Column",
    "column_index",
    "reference_tool_rows",
    "rows",
    "speedup_cell",
]

_AGREEMENT = 0.1
"""Times of a reference tool and fmx agree if they differ by no more than this share."""


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        heading: the column's name.
        unit: the unit of its figures; may be empty.
        meaning: what the figures mean, in a sentence.
        lines: heading and unit on the two lines of a narrow terminal; None for ``heading`` and
            ``unit``.
    """

    heading: str
    unit: str
    meaning: str
    lines: tuple[str, str] | None = None


COLUMNS = (
    Column("model", "", "the file's format and the precision of its weights and activations"),
    Column("accuracy", "%", "images predicted as their true label, with Wilson's 95 % interval"),
    Column("difference", "points", "accuracy minus the reference's, with its 95 % interval"),
    Column(
        "p",
        "McNemar",
        "p-value of McNemar's exact test: the probability of a difference this uneven if the model "
        "is as good as the reference",
    ),
    Column("agreement", "%", "images predicted as the reference predicts them"),
    Column(
        "log loss",
        "nats",
        "mean negative logarithm of the true labels' scores; scores below 1/512, half a "
        "quantization step of an int8 file's output, count as 1/512",
    ),
    Column(
        "ECE",
        "%",
        "expected calibration error: how far scores are from the share of correct predictions, in "
        "15 bins",
    ),
    Column("p50", "µs", "median latency of a single image, from its pixels to scores"),
    Column("p90", "µs", "90th percentile of the latency"),
    Column("p99", "µs", "99th percentile of the latency"),
    Column(
        "speed-up",
        "",
        "how many times as fast as the float32 file of the same format: the median over the "
        "repeats of the ratio of the two median latencies, with its 95 % bootstrap interval",
    ),
    Column("throughput", "images/s", "at the largest batch size, on one thread"),
    Column("size", "KB", "size of the file, in units of 1,000 bytes"),
    Column("memory", "MB", "peak memory of the process up to its first prediction"),
    Column(
        "time to first prediction",
        "s",
        "from the start of a fresh process to its first prediction",
        ("to first", "pred., s"),
    ),
    Column("compute", "GMAC/s", "billions of multiply-accumulates per second, at the p50 latency"),
    Column(
        "of peak",
        "%",
        "compute as a share of one core's peak: NumPy's fastest float32 matrix product; for int8 "
        "four times that with dot-product instructions, else twice. Kernels for wider instructions "
        "than NumPy's can exceed it",
    ),
)


def column_index(heading: str) -> int:
    """Return the position of a column in `COLUMNS` and in each row."""
    return [column.heading for column in COLUMNS].index(heading)


def rows(analysis: Analysis) -> tuple[tuple[str, ...], ...]:
    """Return one row of cells for each model, in the order of `COLUMNS`."""
    return tuple(_row(analysis, variant) for variant in analysis.variants)


def speedup_cell(analysis: Analysis, variant: Variant) -> str:
    """Return for example ``2.29x (2.28 to 2.31)``; nothing for a model without a baseline."""
    baseline = analysis.baseline(variant)
    if baseline is None or baseline == variant:
        return ""
    speedup = analysis.speedup(variant, baseline)
    return f"{speedup.value:.2f}x{bounds(speedup)}"


def _row(analysis: Analysis, variant: Variant) -> tuple[str, ...]:
    accuracy, is_reference = analysis.accuracy(variant), variant == analysis.reference
    difference = analysis.difference(variant)
    points = signed(100 * difference.value)
    interval = percent_interval(difference.interval, with_sign=True)
    macs_per_s, share = analysis.macs_per_s(variant), analysis.share_of_peak(variant)
    return (
        model_title(variant, analysis.run),
        f"{100 * accuracy.value:.2f} ({percent_interval(accuracy.interval)})",
        "reference" if is_reference else f"{points} ({interval})",
        "" if is_reference else p_value(difference.p_value),
        "" if is_reference else f"{100 * analysis.agreement(variant).value:.2f}",
        f"{analysis.log_loss(variant):.4f}",
        f"{100 * analysis.calibration_error(variant):.2f}",
        *(microseconds(analysis.latency_us(variant, percentile)) for percentile in (50, 90, 99)),
        speedup_cell(analysis, variant),
        count(analysis.max_batch_throughput(variant)),
        f"{variant.size_bytes / 1e3:,.0f}",
        f"{analysis.peak_bytes(variant) / 1e6:,.0f}",
        f"{analysis.first_prediction_s(variant):.2f}",
        "" if macs_per_s is None else f"{macs_per_s / 1e9:.1f}",
        "" if share is None else f"{100 * share:.0f}",
    )


REFERENCE_TOOL_HEADINGS = (
    "model",
    "tool",
    "what is timed",
    "tool, µs",
    "fmx, µs",
    "tool / fmx",
    "",
)
"""The headings of `reference_tool_rows`."""


def reference_tool_rows(run: Run) -> tuple[tuple[str, ...], ...]:
    """Return one row of cells for each reference tool and file."""
    titles = {variant.name: model_title(variant, run) for variant in run.variants}
    found = []
    for timing in run.reference_tools:
        pairs = zip(timing.tool_us, timing.fmx_us, strict=True)
        ratio = median_estimate([tool / fmx for tool, fmx in pairs])
        found.append(
            (
                titles.get(timing.variant, timing.variant),
                f"{timing.tool} ({timing.version})",
                f"{timing.what} ({timing.statistic})",
                f"{statistics.median(timing.tool_us):.2f}",
                f"{statistics.median(timing.fmx_us):.2f}",
                f"{ratio.value:.2f}{bounds(ratio)}",
                "agree" if abs(ratio.value - 1) <= _AGREEMENT else "differ",
            )
        )
    return tuple(found)
