"""The figures of a run as a table: the same cells for the terminal, Markdown and HTML."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from fmx_benchmarks.result import Result, Variant

__all__ = ["COLUMNS", "Column", "build", "headline", "notes", "rows", "title"]

_BUSY_LOAD = 0.5  # processes that ran beside us, averaged over a minute
_WIDE_SPREAD = 1.5  # slowest round's median over the fastest one's
_TITLES = {"keras": "Keras", "tflite": "TFLite", "onnx": "ONNX"}


@dataclass(frozen=True)
class Column:
    """One column: its heading, its unit, and what it means in a sentence."""

    heading: str
    unit: str
    meaning: str


COLUMNS = (
    Column("model", "", "the file's format and the precision of its weights and activations"),
    Column("accuracy", "%", "pictures that got their true label, with Wilson's 95 % interval"),
    Column("difference", "points", "accuracy less the reference's, with its 95 % interval"),
    Column("agreement", "%", "pictures that got the reference's label"),
    Column("p50", "µs", "median time of a single picture, from its pixels to probabilities"),
    Column("p90", "µs", "nine of ten single pictures took no longer"),
    Column("p99", "µs", "99 of 100 single pictures took no longer"),
    Column("speed", "", "how many times faster than the float32 file of the same format"),
    Column("throughput", "pictures/s", "over all pictures, in the median round"),
    Column("size", "KB", "of the file, 1,000 bytes each"),
    Column("memory", "MB", "the most that its process held up to the first answer"),
    Column("start", "s", "from the start of a fresh process to its first answer"),
)


def title(variant: Variant) -> str:
    """For example ``TFLite int8``."""
    return f"{_TITLES[variant.format]} {variant.precision}"


def rows(result: Result) -> tuple[tuple[str, ...], ...]:
    """One row of cells for each model, in the order of `COLUMNS`."""
    return tuple(_row(result, variant) for variant in result.variants)


def _row(result: Result, variant: Variant) -> tuple[str, ...]:
    accuracy, is_reference = result.accuracy(variant), variant == result.reference
    difference = result.difference(variant)
    return (
        title(variant),
        f"{100 * accuracy.value:.2f} ({_interval(accuracy.interval)})",
        "reference"
        if is_reference
        else f"{_signed(100 * difference.value)} ({_interval(difference.interval, signed=True)})",
        "" if is_reference else f"{100 * result.agreement(variant).value:.2f}",
        *(_microseconds(variant.latency_us(percent)) for percent in (50, 90, 99)),
        _speed(result, variant),
        f"{variant.pictures_per_s:,.0f}",
        f"{variant.size_bytes / 1e3:,.0f}",
        f"{variant.peak_bytes / 1e6:,.0f}",
        f"{variant.start_s:.2f}",
    )


def _speed(result: Result, variant: Variant) -> str:
    baseline = result.baseline(variant)
    if baseline is None or baseline == variant:
        return ""
    return f"{statistics.median(result.speedups(variant, baseline)):.2f}x"


def headline(result: Result) -> tuple[str, ...]:
    """What came out, in a sentence for each int8 file."""
    sentences = []
    reference = result.reference
    for variant in result.variants:
        baseline = result.baseline(variant)
        if variant.precision != "int8" or baseline is None:
            continue
        speed = statistics.median(result.speedups(variant, baseline))
        points = 100 * result.difference(variant).value
        sentences.append(
            f"{title(variant)} is {speed:.2f} times as fast as {title(baseline)}, "
            f"{baseline.size_bytes / variant.size_bytes:.1f} times smaller, and gets "
            f"{100 * result.accuracy(variant).value:.2f} % of the pictures right: "
            f"{_signed(points)} points against {title(reference)}."
        )
    return tuple(sentences)


def notes(result: Result) -> tuple[str, ...]:
    """How it was measured, and what to be wary of, each in a sentence."""
    settings, machine = result.settings, result.machine
    where = "" if settings.core is None else f", all on processor core {settings.core}"
    told = [
        (
            f"{len(result.labels):,} pictures ({result.data}); every model in a process of its "
            f"own, on one thread{where}; {settings.rounds} rounds of {settings.calls} timed single "
            f"pictures each, the models taking turns in each round. A speed is the median over "
            f"the rounds of the ratio of the two medians in one round."
        )
    ]
    if machine.load > _BUSY_LOAD:
        told.append(
            f"In the minute before the run the machine was busy (load {machine.load:.1f}): where "
            f"that was not your own training, trust the ratios more than the times."
        )
    for variant in result.variants:
        spread = _spread(variant)
        if spread > _WIDE_SPREAD:
            told.append(
                f"{title(variant)}: the slowest round's median was {spread:.1f} times the "
                f"fastest one's; measure again on a quiet machine before you quote its times."
            )
    return tuple(told)


def _spread(variant: Variant) -> float:
    medians = [statistics.median(one.calls_us) for one in variant.rounds]
    return max(medians) / min(medians)


def build(result: Result) -> Table:
    """The table for a terminal; the figures that decide, the others are in the reports."""
    table = Table(box=None, pad_edge=False)
    hidden = ("agreement", "p90", "memory")  # a terminal is 80 columns wide
    chosen = [index for index, column in enumerate(COLUMNS) if column.heading not in hidden]
    for index in chosen:
        column = COLUMNS[index]
        heading = f"{column.heading}\n[dim]{column.unit}[/]"
        table.add_column(heading, justify="right" if index else "left", no_wrap=True)
    for row in rows(result):
        # nor is there room for the intervals
        table.add_row(*(row[index].partition(" (")[0] for index in chosen))
    return table


def _microseconds(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"  # noqa: PLR2004


def _signed(value: float) -> str:
    """With a sign that is never the sign of nothing."""
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}") if round(value, 2) else "0.00"


def _interval(bounds: tuple[float, float], *, signed: bool = False) -> str:
    low, high = (100 * bound for bound in bounds)
    if signed:
        return f"{_signed(low)} to {_signed(high)}"
    return f"{low:.2f} to {high:.2f}"
