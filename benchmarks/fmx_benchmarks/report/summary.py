"""The results in sentences: headlines, methods, warnings, facts about the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_benchmarks.report.format import p_value, percent_interval, signed
from fmx_benchmarks.report.table import speedup_cell
from fmx_benchmarks.statistics.analysis import median_latencies_us
from fmx_benchmarks.statistics.display_names import model_title

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fmx_benchmarks.statistics.analysis import Analysis
    from fmx_runtime.bench.result import Result, Run

__all__ = ["compare_predictions", "headlines", "machine_facts", "notes"]

_BUSY_LOAD = 0.5  # processes that ran beside the benchmark, averaged over a minute
_WIDE_SPREAD = 1.5  # the slowest repeat's median latency over the fastest one's
_HOT_CELSIUS = 80  # boards begin to throttle there
_CLOCK_CHANGE = 1.1  # highest clock over the lowest


def headlines(analysis: Analysis) -> tuple[str, ...]:
    """Return a sentence for each int8 file that has its float32 file beside it."""
    sentences = []
    for variant in analysis.variants:
        baseline = analysis.baseline(variant)
        if variant.precision != "int8" or baseline is None:
            continue
        difference = analysis.difference(variant)
        name, baseline_name, reference_name = (
            model_title(one, analysis.run) for one in (variant, baseline, analysis.reference)
        )
        speedup = speedup_cell(analysis, variant).replace("x", " times", 1)
        sentences.append(
            f"{name} is {speedup} as fast as {baseline_name} and "
            f"{baseline.size_bytes / variant.size_bytes:.1f} times smaller. "
            f"Its accuracy is {100 * analysis.accuracy(variant).value:.2f} %: "
            f"{signed(100 * difference.value)} points against {reference_name} "
            f"({percent_interval(difference.interval, with_sign=True)}; "
            f"p = {p_value(difference.p_value)})."
        )
    return tuple(sentences)


def notes(analysis: Analysis) -> tuple[str, ...]:
    """Return sentences about the method of measurement, and warnings."""
    settings, images = analysis.run.settings, len(analysis.result.labels)
    core = "" if settings.core is None else f" on processor core {settings.core}"
    method = (
        f"{images:,} images ({analysis.result.data}). Each time was measured in a fresh process "
        f"with one model, on one thread{core}. In each of {settings.repeats} repeats the models "
        f"took turns, with up to {settings.iterations} timed predictions of single images after "
        f"{settings.warmup} untimed ones."
    )
    return (method, *_warnings(analysis))


def _warnings(analysis: Analysis) -> Iterable[str]:
    machine, states = analysis.run.machine, analysis.run.machine_states
    if machine.load > _BUSY_LOAD:
        yield (
            f"The machine was busy in the minute before the run (load {machine.load:.1f}). Unless "
            "that was your own training, trust the ratios more than the times."
        )
    flags = dict.fromkeys(flag for state in states for flag in state.throttled or ())
    if flags:
        yield (
            f"The board reported: {', '.join(flags)}. Its power supply or cooling limits it; "
            "measure again with better ones before you quote its times."
        )
    hottest = max((state.celsius for state in states if state.celsius is not None), default=0)
    if hottest >= _HOT_CELSIUS:
        yield f"The processor reached {hottest:.0f} °C and may have slowed down."
    clocks = [state.mhz for state in states if state.mhz]
    if clocks and max(clocks) > _CLOCK_CHANGE * min(clocks):
        yield (
            f"The clock changed from {min(clocks):,.0f} to {max(clocks):,.0f} MHz during the run: "
            "set the governor to 'performance'."
        )
    for variant in analysis.variants:
        medians = median_latencies_us(variant)
        if max(medians) > _WIDE_SPREAD * min(medians):
            yield (
                f"{model_title(variant, analysis.run)}: the slowest repeat's median latency was "
                f"{max(medians) / min(medians):.1f} times the fastest one's; measure again on a "
                "quiet machine before you quote its times."
            )


def compare_predictions(result: Result) -> tuple[str, ...]:
    """Return a sentence for each file and device: whether its labels are those of the local run."""
    local = {variant.sha256: variant for variant in result.runs[0].variants}
    sentences = []
    for run in result.runs[1:]:
        for variant in run.variants:
            twin = local.get(variant.sha256)
            if twin is None:
                continue
            pairs = zip(variant.predictions, twin.predictions, strict=True)
            differing = sum(there != here for there, here in pairs)
            how_many = f"{differing:,} of {len(result.labels):,}" if differing else "none"
            sentences.append(
                f"{model_title(variant, run)} on {run.device}: {how_many} of the labels differ "
                "from the local machine's."
            )
    return tuple(sentences)


def machine_facts(run: Run) -> tuple[tuple[str, str], ...]:
    """Return names and values that describe a machine and its state during the run."""
    machine, settings = run.machine, run.settings
    peak = machine.sgemm_gmacs
    facts = (
        ("board", machine.board),
        ("processor", machine.processor),
        ("architecture", machine.architecture),
        ("cores", str(machine.cores)),
        ("int8 instructions", ", ".join(machine.int8_instructions) or "none known"),
        ("float32 peak of one core", None if peak is None else f"{peak:.1f} GMAC/s, measured"),
        ("memory", f"{machine.memory_bytes / 1e9:.1f} GB"),
        ("frequency governor", machine.governor or "unknown"),
        ("clock", _range([state.mhz for state in run.machine_states], "MHz")),
        ("temperature", _range([state.celsius for state in run.machine_states], "°C")),
        ("throttling", _throttling(run)),
        ("load before the run", f"{machine.load:.2f}"),
        ("repeats", f"{settings.repeats}, of up to {settings.iterations} iterations"),
        ("threads", ", ".join(map(str, settings.threads)) + " for throughput, else 1"),
        ("bound to core", "no" if settings.core is None else str(settings.core)),
        ("system", machine.system),
        ("Python", machine.python),
        *sorted(machine.packages.items()),
    )
    return tuple((name, value) for name, value in facts if value is not None)


def _range(values: Sequence[float | None], unit: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "unknown"
    low, high = f"{min(known):,.0f}", f"{max(known):,.0f}"
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"


def _throttling(run: Run) -> str:
    known = [state.throttled for state in run.machine_states if state.throttled is not None]
    if not known:
        return "unknown"
    return ", ".join(dict.fromkeys(flag for flags in known for flag in flags)) or "none"
