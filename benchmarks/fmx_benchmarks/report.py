"""A run's reports: JSON to keep, Markdown for a pull request, and one HTML page to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fmx_benchmarks import accuracy, gallery, plots, table
from fmx_runtime.atomic import make_folder, write
from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_benchmarks.machine import Machine
    from fmx_benchmarks.result import Result, Variant

__all__ = ["HTML_NAME", "html", "markdown", "write_all"]

HTML_NAME = "report.html"
_EXHIBITS = 18


def write_all(result: Result, images: NDArray[np.uint8], folder: Path) -> tuple[Path, ...]:
    """Write result.json, report.md and report.html.

    Args:
        result: of a run on ``images``.
        images: uint8 ``(n, height, width, 1 or 3)``.
        folder: made where it is missing; files of the same names are replaced.

    Returns:
        The files.

    Raises:
        DataError: other images than the run had.
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
    headings = [f"{column.heading}, {column.unit}".rstrip(", ") for column in table.COLUMNS]
    alignment = ["---", *["---:"] * (len(headings) - 1)]
    lines = [
        f"## Benchmark on {result.data}",
        "",
        *(f"- {sentence}" for sentence in table.headline(result)),
        "",
        *(_cells(row) for row in (headings, alignment, *table.rows(result))),
        "",
        *(f"{note}  " for note in table.notes(result)),
        "",
        "<details><summary>Machine</summary>",
        "",
        *(f"- {name}: {value}" for name, value in machine_facts(result.machine)),
        "",
        "</details>",
    ]
    return "\n".join(lines) + "\n"


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def machine_facts(machine: Machine) -> tuple[tuple[str, str], ...]:
    """What is known of the machine, as names and values to read."""
    facts = (
        ("board", machine.board),
        ("processor", machine.processor),
        ("architecture", machine.architecture),
        ("cores", str(machine.cores)),
        ("memory", f"{machine.memory_bytes / 1e9:.1f} GB"),
        ("frequency governor", machine.governor),
        ("load before the run", f"{machine.load:.2f}"),
        ("system", machine.system),
        ("Python", machine.python),
        *machine.packages.items(),
    )
    return tuple((name, value) for name, value in facts if value is not None)


def html(result: Result, images: NDArray[np.uint8]) -> str:
    """One page that needs nothing from anywhere else.

    Raises:
        DataError: other images than the run had.
    """
    import jinja2

    if len(images) != len(result.labels):
        raise DataError(
            f"the benchmark result is of {len(result.labels)} pictures, received {len(images)}"
        )
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fmx_benchmarks", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    int8 = [variant for variant in result.variants if variant.precision == "int8"]
    return environment.get_template("report.html.jinja").render(
        result=result,
        title=table.title,
        columns=table.COLUMNS,
        rows=table.rows(result),
        headline=table.headline(result),
        notes=table.notes(result),
        tradeoff=plots.tradeoff_svg(result),
        latency=plots.latency_svg(result),
        classes=_class_rows(result),
        confusion=_shares(result, result.reference),
        galleries=[
            (
                variant,
                len(result.disagreements(variant)),
                result.difference(variant),
                gallery.disagreements(result, variant, images, _EXHIBITS),
            )
            for variant in int8
        ],
        machine=machine_facts(result.machine),
    )


def _class_rows(result: Result) -> list[tuple[str, list[accuracy.Proportion | None]]]:
    """For each class its name and each model's share of its pictures."""
    by_variant = [accuracy.per_class(result.confusion(one)) for one in result.variants]
    return [
        (name, [shares[index] for shares in by_variant])
        for index, name in enumerate(result.class_names)
    ]


def _shares(result: Result, variant: Variant) -> list[tuple[str, list[float]]]:
    """For each true class its name, and the percentage of its pictures that got each label."""
    matrix = result.confusion(variant)
    percent = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    return list(zip(result.class_names, percent.tolist(), strict=True))
