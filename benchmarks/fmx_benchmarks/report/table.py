"""The figures of a run as a table: the same cells for the terminal, Markdown and HTML."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from fmx_benchmarks.statistics.analysis import Analysis, medians_us
from fmx_benchmarks.statistics.estimate import median_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType

    from fmx_benchmarks.statistics.estimate import Estimate
    from fmx_runtime.bench.result import Result, Run, Variant

__all__ = [
    "COLUMNS",
    "REFERENCE_TOOL_HEADINGS",
    "Column",
    "build",
    "failures",
    "headline",
    "kind",
    "name_of",
    "notes",
    "reference_tool_rows",
    "rows",
    "same_answers",
    "title",
]

_BUSY_LOAD = 0.5  # processes that ran beside us, averaged over a minute
_WIDE_SPREAD = 1.5  # slowest round's median over the fastest one's
_HOT = 80  # degrees; boards begin to slow down there
_CLOCKS_APART = 1.1
_TITLES = {"keras": "Keras", "tflite": "TFLite", "onnx": "ONNX"}
_AGREE = 0.1
_WIDTH = 80


@dataclass(frozen=True)
class Column:
    """One column: its heading, its unit, and what it means in a sentence."""

    heading: str
    unit: str
    meaning: str


COLUMNS = (
    Column("model", "", "the file's format and the precision of its weights and activations"),
    Column("accuracy", "%", "images that got their true label, with Wilson's 95 % interval"),
    Column("difference", "points", "accuracy less the reference's, with its 95 % interval"),
    Column(
        "p",
        "McNemar",
        "how likely so uneven a difference is, if the model is as good as the reference: "
        "McNemar's exact test",
    ),
    Column("agreement", "%", "images that got the reference's label"),
    Column(
        "log loss",
        "nats",
        "mean negative logarithm of the true labels' probabilities, which count as 1/512 at least, "
        "half a step of an int8 file's",
    ),
    Column(
        "ECE",
        "%",
        "expected calibration error: how far scores are from the share of answers that are right, "
        "in 15 bins",
    ),
    Column("p50", "µs", "median time of a single image, from its pixels to probabilities"),
    Column("p90", "µs", "nine of ten single images took no longer"),
    Column("p99", "µs", "99 of 100 single images took no longer"),
    Column(
        "speed",
        "",
        "how many times as fast as the float32 file of the same format: the median of the ratios "
        "of the two medians in each round, with its 95 % bootstrap interval",
    ),
    Column("throughput", "images/s", "handed over in the largest batch, on one thread"),
    Column("size", "KB", "of the file, 1,000 bytes each"),
    Column("memory", "MB", "the most that its process held up to the first answer"),
    Column("start", "s", "from the start of a fresh process to its first answer"),
    Column("work", "GMAC/s", "billions of multiply-accumulates a second, in the median call"),
    Column(
        "of peak",
        "%",
        "of the most that NumPy gets out of one core in a product of float32 matrices; for int8 of "
        "four times that with dot-product instructions, else twice. Kernels for wider instructions "
        "than NumPy's can do more",
    ),
)


def kind(variant: Variant) -> str:
    """For example ``TFLite int8``."""
    return f"{_TITLES[variant.format]} {variant.precision}"


def title(variant: Variant, run: Run) -> str:
    """The model's kind; with its file's name where the run has several of that kind."""
    alike = sum(kind(one) == kind(variant) for one in run.variants)
    return kind(variant) if alike == 1 else f"{kind(variant)} {variant.name}"


def name_of(run: Run) -> str:
    """What a machine is called: the device's name, its board or its processor."""
    kind = run.machine.board or f"{run.machine.processor}, {run.machine.architecture}"
    return kind if run.place == "here" else f"{run.place} ({kind})"


def rows(analysis: Analysis) -> tuple[tuple[str, ...], ...]:
    """One row of cells for each model, in the order of `COLUMNS`."""
    return tuple(_row(analysis, variant) for variant in analysis.variants)


def _row(analysis: Analysis, variant: Variant) -> tuple[str, ...]:
    accuracy, is_reference = analysis.accuracy(variant), variant == analysis.reference
    difference = analysis.difference(variant)
    work, share = analysis.macs_per_s(variant), analysis.peak_share(variant)
    return (
        title(variant, analysis.run),
        f"{100 * accuracy.value:.2f} ({_interval(accuracy.interval)})",
        "reference"
        if is_reference
        else f"{_signed(100 * difference.value)} ({_interval(difference.interval, signed=True)})",
        "" if is_reference else _p_value(difference.p_value),
        "" if is_reference else f"{100 * analysis.agreement(variant).value:.2f}",
        f"{analysis.log_loss(variant):.4f}",
        f"{100 * analysis.calibration_error(variant):.2f}",
        *(_microseconds(analysis.latency_us(variant, percent)) for percent in (50, 90, 99)),
        _speed(analysis, variant),
        _count(analysis.images_per_s(variant)),
        f"{variant.size_bytes / 1e3:,.0f}",
        f"{analysis.peak_bytes(variant) / 1e6:,.0f}",
        f"{analysis.start_s(variant):.2f}",
        "" if work is None else f"{work / 1e9:.1f}",
        "" if share is None else f"{100 * share:.0f}",
    )


def _speed(analysis: Analysis, variant: Variant) -> str:
    baseline = analysis.baseline(variant)
    if baseline is None or baseline == variant:
        return ""
    speed = analysis.speedup(variant, baseline)
    return f"{speed.value:.2f}x{_bounds(speed)}"


def _bounds(estimate: Estimate) -> str:
    """The interval in brackets, nothing where none is known."""
    if math.isinf(estimate.high):
        return ""
    return f" ({estimate.low:.2f} to {estimate.high:.2f})"


def headline(analysis: Analysis) -> tuple[str, ...]:
    """What came out, in a sentence for each int8 file."""
    sentences = []
    for variant in analysis.variants:
        baseline = analysis.baseline(variant)
        if variant.precision != "int8" or baseline is None:
            continue
        difference = analysis.difference(variant)
        own, other, reference = (
            title(one, analysis.run) for one in (variant, baseline, analysis.reference)
        )
        sentences.append(
            f"{own} is {_speed(analysis, variant).replace('x', ' times', 1)} as fast as {other}, "
            f"{baseline.size_bytes / variant.size_bytes:.1f} times smaller, and "
            f"gets {100 * analysis.accuracy(variant).value:.2f} % of the images right: "
            f"{_signed(100 * difference.value)} points against {reference} "
            f"({_interval(difference.interval, signed=True)}; "
            f"p = {_p_value(difference.p_value)})."
        )
    return tuple(sentences)


def notes(analysis: Analysis) -> tuple[str, ...]:
    """How it was measured, and what to be wary of, each in a sentence."""
    settings, images = analysis.run.settings, len(analysis.result.labels)
    where = "" if settings.core is None else f", all on processor core {settings.core}"
    told = (
        f"{images:,} images ({analysis.result.data}); every time was taken in a fresh process "
        f"with one model in it, on one thread{where}; {settings.rounds} rounds, in each of which "
        f"the models took turns, of up to {settings.calls} timed single images after "
        f"{settings.warmup} untimed ones."
    )
    return (told, *_warnings(analysis))


def _warnings(analysis: Analysis) -> Iterable[str]:
    machine, machine_states = analysis.run.machine, analysis.run.machine_states
    if machine.load > _BUSY_LOAD:
        yield (
            f"In the minute before the run the machine was busy (load {machine.load:.1f}): where "
            f"that was not your own training, trust the ratios more than the times."
        )
    flags = dict.fromkeys(flag for one in machine_states for flag in one.throttled or ())
    if flags:
        yield (
            f"The board said: {', '.join(flags)}. Its power supply or its cooling limits it; "
            "measure again with better ones before you quote its times."
        )
    hottest = max((one.celsius for one in machine_states if one.celsius is not None), default=0)
    if hottest >= _HOT:
        yield f"The processor was up to {hottest:.0f} °C hot, and may have slowed down."
    clocks = [one.mhz for one in machine_states if one.mhz]
    if clocks and max(clocks) > _CLOCKS_APART * min(clocks):
        yield (
            f"The clock changed from {min(clocks):,.0f} to {max(clocks):,.0f} MHz meanwhile: set "
            "the governor to 'performance'."
        )
    for variant in analysis.variants:
        medians = medians_us(variant)
        if max(medians) > _WIDE_SPREAD * min(medians):
            yield (
                f"{title(variant, analysis.run)}: the slowest round's median was "
                f"{max(medians) / min(medians):.1f} times the fastest one's; measure again on a "
                "quiet machine before you quote its times."
            )


def failures(result: Result) -> tuple[str, ...]:
    """What was not measured, and why, a sentence each."""
    return tuple(
        f"{failure.name}{'' if run.place == 'here' else ' on ' + run.place}: {failure.reason}"
        for run in result.runs
        for failure in run.failures
    )


def same_answers(result: Result) -> tuple[str, ...]:
    """Whether devices answer as this machine does, a sentence for each file on each device."""
    here = {variant.sha256: variant for variant in result.runs[0].variants}
    told = []
    for run in result.runs[1:]:
        for variant in run.variants:
            twin = here.get(variant.sha256)
            if twin is None:
                continue
            pairs = zip(variant.answers, twin.answers, strict=True)
            differing = sum(there != ours for there, ours in pairs)
            words = f"{differing:,} of {len(result.labels):,}" if differing else "none"
            told.append(
                f"{title(variant, run)} on {run.place}: {words} of the labels differ from here."
            )
    return tuple(told)


REFERENCE_TOOL_HEADINGS = (
    "model",
    "tool",
    "what is timed",
    "theirs, µs",
    "ours, µs",
    "theirs / ours",
    "",
)
"""Of `reference_tool_rows`."""


def reference_tool_rows(run: Run) -> tuple[tuple[str, ...], ...]:
    """Others' tools beside ours, see `REFERENCE_TOOL_HEADINGS`."""
    titles = {variant.name: title(variant, run) for variant in run.variants}
    found = []
    for one in run.peers:
        pairs = zip(one.theirs_us, one.ours_us, strict=True)
        ratio = median_of([theirs / ours for theirs, ours in pairs])
        found.append(
            (
                titles.get(one.variant, one.variant),
                f"{one.peer} ({one.version})",
                f"{one.what} ({one.statistic})",
                f"{statistics.median(one.theirs_us):.2f}",
                f"{statistics.median(one.ours_us):.2f}",
                f"{ratio.value:.2f}{_bounds(ratio)}",
                "agree" if abs(ratio.value - 1) <= _AGREE else "differ",
            )
        )
    return tuple(found)


_DISPENSABLE = ("work", "of peak", "ECE", "log loss", "p", "agreement", "memory", "p90", "start")
"""What a narrow terminal does without, the first ones first; the reports have them all."""


def build(result: Result) -> RenderableType:
    """The figures for a terminal 80 columns wide: of each machine those that decide."""
    parts: list[RenderableType] = []
    for run in result.runs:
        if not run.variants:
            continue
        analysis = Analysis(result, run)
        if len(result.runs) > 1:
            parts += [Text(name_of(run), "bold")]
        parts += [_narrow(rows(analysis)), Text()]
    parts += [Text(sentence) for sentence in same_answers(result)]
    if result.runs[0].peers:
        parts += [_peers(result.runs[0]), Text()]
    parts += [Text(sentence, "red") for sentence in failures(result)]
    return Group(*parts)


def _narrow(cells: Sequence[Sequence[str]]) -> Table:
    shown = list(range(len(COLUMNS)))
    for heading in _DISPENSABLE:
        if sum(_width(index, cells) + 1 for index in shown) <= _WIDTH:
            break
        shown = [index for index in shown if COLUMNS[index].heading != heading]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for index in shown:
        column = COLUMNS[index]
        heading = f"{column.heading}\n[dim]{column.unit}[/]"
        table.add_column(heading, justify="right" if index else "left", overflow="fold")
    for row in cells:
        table.add_row(*(_short(row[index]) for index in shown))
    return table


def _width(index: int, cells: Sequence[Sequence[str]]) -> int:
    column = COLUMNS[index]
    words = [column.heading, column.unit, *(_short(row[index]) for row in cells)]
    return max(map(len, words))


def _short(cell: str) -> str:
    return cell.partition(" (")[0]  # there is no room for intervals


def _peers(run: Run) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in REFERENCE_TOOL_HEADINGS:
        stacked = heading.replace(", ", "\n").replace(" / ", "\n/ ")
        table.add_column(
            stacked, justify="right" if "ours" in heading or "theirs" in heading else "left"
        )
    for row in reference_tool_rows(run):
        table.add_row(*(_short(cell) for cell in row))
    return table


def _count(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _p_value(value: float) -> str:
    return f"{value:.2f}" if value >= 0.01 else f"{value:.0e}"  # noqa: PLR2004


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
