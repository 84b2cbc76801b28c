"""A result's reports: JSON to keep, Markdown for a pull request, and one HTML page to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fmx_benchmarks.report import gallery, plots, table
from fmx_benchmarks.statistics import accuracy
from fmx_benchmarks.statistics.analysis import Analysis
from fmx_runtime.errors import DataError
from fmx_runtime.support.atomic import make_folder, write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_runtime.bench.result import Result, Run, Variant

__all__ = ["HTML_NAME", "html", "machine_facts", "markdown", "write_all"]

HTML_NAME = "report.html"
_EXHIBITS = 18


def write_all(result: Result, images: NDArray[np.uint8], folder: Path) -> tuple[Path, ...]:
    """Write result.json, report.md and report.html.

    Args:
        result: of runs on ``images``.
        images: uint8 ``(n, height, width, 1 or 3)``.
        folder: made where it is missing; files of the same names are replaced.

    Returns:
        The files.

    Raises:
        DataError: other images than the runs had.
        OutputError: the folder cannot be written to.
    """
    make_folder(folder)
    contents = {
        "result.json": result.to_json() + "\n",
        "report.md": markdown(result),
        HTML_NAME: html(result, images),
    }
    for name, content in contents.items():
        write(folder / name, content)
    return tuple(folder / name for name in contents)


def markdown(result: Result) -> str:
    """The figures for a pull request or an issue."""
    lines = [f"## Benchmark on {_plain(result.data)}", ""]
    for sentence in table.failures(result):
        lines += [f"> **not measured:** {_plain(sentence)}", ""]
    for run in result.runs:
        lines += _machine_part(Analysis(result, run), alone=len(result.runs) == 1)
    lines += [f"- {_plain(sentence)}" for sentence in table.same_answers(result)]
    for run in result.runs:
        lines += [
            "",
            f"<details><summary>Machine: {_plain(table.name_of(run))}</summary>",
            "",
            *(f"- {name}: {_plain(value)}" for name, value in machine_facts(run)),
            "",
            "</details>",
        ]
    return "\n".join(lines) + "\n"


def _machine_part(analysis: Analysis, *, alone: bool) -> list[str]:
    """Headline, table and notes of one machine."""
    run = analysis.run
    lines = [] if alone else [f"### {_plain(table.name_of(run))}", ""]
    if not analysis.variants:
        return lines
    headings = [f"{column.heading}, {column.unit}".rstrip(", ") for column in table.COLUMNS]
    alignment = ["---", *["---:"] * (len(headings) - 1)]
    lines += [f"- {sentence}" for sentence in table.headline(analysis)]
    lines += ["", *(_cells(row) for row in (headings, alignment, *table.rows(analysis))), ""]
    if run.peers:
        rows = [list(map(_plain, row)) for row in table.reference_tool_rows(run)]
        heads = table.REFERENCE_TOOL_HEADINGS
        lines += [*(_cells(row) for row in (heads, ["---"] * len(heads), *rows)), ""]
    return [*lines, *(f"{_plain(note)}  " for note in table.notes(analysis)), ""]


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Text that Markdown and HTML in it cannot make anything else of, in one line."""
    for letter, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("`", "'")):
        text = text.replace(letter, written)
    return " ".join(text.split())


def machine_facts(run: Run) -> tuple[tuple[str, str], ...]:
    """What is known of a machine and of its state meanwhile, as names and values to read."""
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
        ("frequency governor", machine.governor or "not readable"),
        ("clock", _range([one.mhz for one in run.machine_states], "MHz")),
        ("temperature", _range([one.celsius for one in run.machine_states], "°C")),
        ("throttling", _flags(run)),
        ("load before the run", f"{machine.load:.2f}"),
        ("rounds", f"{settings.rounds}, of up to {settings.calls} single images"),
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
        return "not readable"
    low, high = f"{min(known):,.0f}", f"{max(known):,.0f}"
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"


def _flags(run: Run) -> str:
    known = [one.throttled for one in run.machine_states if one.throttled is not None]
    if not known:
        return "not readable"
    return ", ".join(dict.fromkeys(flag for flags in known for flag in flags)) or "none"


@dataclass(frozen=True)
class _Change:
    """How one file's confusions differ from the reference's, in percent of each true class."""

    variant: Variant
    rows: list[tuple[str, list[float]]]
    largest: float


def html(result: Result, images: NDArray[np.uint8]) -> str:
    """One page that needs nothing from anywhere else.

    Raises:
        DataError: other images than the runs had.
    """
    import jinja2

    if len(images) != len(result.labels):
        raise DataError(
            f"the benchmark result is of {len(result.labels)} images, received {len(images)}"
        )
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fmx_benchmarks", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    every = [Analysis(result, run) for run in result.runs]
    first = next((one for one in every if one.variants), None)
    return environment.get_template("report.html.jinja").render(
        result=result,
        table=table,
        plots=plots,
        machine_facts=machine_facts,
        every=every,
        first=first,
        side_by_side=_side_by_side(every),
        classes=_class_rows(first) if first else [],
        confusion=_shares(first, first.reference) if first else [],
        changes=_changes(first) if first else [],
        galleries=_galleries(first, images) if first else [],
    )


def _side_by_side(every: Sequence[Analysis]) -> list[tuple[str, list[str]]]:
    """For each kind of model its name, and its median time and speed on each machine."""
    names = dict.fromkeys(
        table.title(one, analysis.run) for analysis in every for one in analysis.variants
    )
    rows = {name: [""] * len(every) for name in names}
    p50 = [column.heading for column in table.COLUMNS].index("p50")
    speed = [column.heading for column in table.COLUMNS].index("speed")
    for column, analysis in enumerate(every):
        for row in table.rows(analysis):
            faster = row[speed].partition(" (")[0]
            rows[row[0]][column] = f"{row[p50]} µs{' (' + faster + ')' if faster else ''}"
    return list(rows.items())


def _class_rows(analysis: Analysis) -> list[tuple[str, list[accuracy.Proportion | None]]]:
    """For each class its name and each model's share of its images."""
    by_variant = [accuracy.per_class(analysis.confusion(one)) for one in analysis.variants]
    return [
        (name, [shares[index] for shares in by_variant])
        for index, name in enumerate(analysis.result.class_names)
    ]


def _percent(analysis: Analysis, variant: Variant) -> NDArray[np.float64]:
    """float64 ``(classes, classes)``: percent of each true class's images, by answer."""
    matrix = analysis.confusion(variant)
    shares: NDArray[np.float64] = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    return shares


def _shares(analysis: Analysis, variant: Variant) -> list[tuple[str, list[float]]]:
    rows = _percent(analysis, variant).tolist()
    return list(zip(analysis.result.class_names, rows, strict=True))


def _changes(analysis: Analysis) -> list[_Change]:
    """Of each int8 file that differs from the reference at all."""
    found = []
    for variant in analysis.variants:
        change = _percent(analysis, variant) - _percent(analysis, analysis.reference)
        if variant.precision == "int8" and change.any():
            rows = list(zip(analysis.result.class_names, change.tolist(), strict=True))
            found.append(_Change(variant, rows, float(np.abs(change).max())))
    return found


def _galleries(
    analysis: Analysis, images: NDArray[np.uint8]
) -> list[tuple[Variant, int, accuracy.Difference, tuple[gallery.Exhibit, ...]]]:
    return [
        (
            variant,
            len(analysis.disagreements(variant)),
            analysis.difference(variant),
            gallery.disagreements(analysis, variant, images, _EXHIBITS),
        )
        for variant in analysis.variants
        if variant.precision == "int8" and variant != analysis.reference
    ]
