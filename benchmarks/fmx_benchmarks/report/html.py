"""The report as one HTML page that needs no other file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fmx_benchmarks.report import disagreements, plots, summary, table
from fmx_benchmarks.statistics import accuracy, display_names
from fmx_benchmarks.statistics.analysis import Analysis
from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fmx_runtime.bench.result import Result, Variant

__all__ = ["render_html"]

_MAX_DISAGREEMENTS = 18


@dataclass(frozen=True)
class _ConfusionChange:
    """How an int8 file's confusion matrix differs from the reference's.

    Attributes:
        variant: the int8 file.
        rows: each true class with its row, in percentage points of the class's images.
        largest: the largest absolute value.
    """

    variant: Variant
    rows: list[tuple[str, list[float]]]
    largest: float


@dataclass(frozen=True)
class _DisagreementSection:
    """The images on which an int8 file and the reference disagree.

    Attributes:
        variant: the int8 file.
        count: the number of such images.
        difference: how many of them are gained and lost.
        shown: some of them.
    """

    variant: Variant
    count: int
    difference: accuracy.Difference
    shown: tuple[disagreements.Disagreement, ...]


def render_html(result: Result, images: NDArray[np.uint8]) -> str:
    """Return the page.

    Args:
        result: the result.
        images: uint8 ``(n, height, width, 1 or 3)``, the images of the result.

    Raises:
        DataError: The number of images differs from the result's.
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
    analyses = [Analysis(result, run) for run in result.runs]
    first = next((one for one in analyses if one.variants), None)
    return environment.get_template("report.html.jinja").render(
        result=result,
        display_names=display_names,
        plots=plots,
        summary=summary,
        table=table,
        analyses=analyses,
        first=first,
        side_by_side=_latency_by_machine(analyses),
        classes=_accuracy_by_class(first) if first else [],
        confusion=_confusion_rows(first, first.reference) if first else [],
        confusion_changes=_confusion_changes(first) if first else [],
        disagreement_sections=_disagreement_sections(first, images) if first else [],
    )


def _latency_by_machine(analyses: Sequence[Analysis]) -> list[tuple[str, list[str]]]:
    """Return each model's name, and its p50 latency and speed-up on each machine."""
    titles = dict.fromkeys(
        display_names.model_title(one, analysis.run)
        for analysis in analyses
        for one in analysis.variants
    )
    cells = {title: [""] * len(analyses) for title in titles}
    p50, speedup = table.column_index("p50"), table.column_index("speed-up")
    for index, analysis in enumerate(analyses):
        for row in table.rows(analysis):
            ratio = row[speedup].partition(" (")[0]
            cells[row[0]][index] = f"{row[p50]} µs{' (' + ratio + ')' if ratio else ''}"
    return list(cells.items())


def _accuracy_by_class(analysis: Analysis) -> list[tuple[str, list[accuracy.Proportion | None]]]:
    """Return each class's name and each model's accuracy on the class's images."""
    by_variant = [
        accuracy.accuracy_by_class(analysis.confusion_matrix(one)) for one in analysis.variants
    ]
    return [
        (name, [shares[index] for shares in by_variant])
        for index, name in enumerate(analysis.result.class_names)
    ]


def _confusion_percent(analysis: Analysis, variant: Variant) -> NDArray[np.float64]:
    """Return the confusion matrix in percent of each true class's images."""
    matrix = analysis.confusion_matrix(variant)
    shares: NDArray[np.float64] = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    return shares


def _confusion_rows(analysis: Analysis, variant: Variant) -> list[tuple[str, list[float]]]:
    rows = _confusion_percent(analysis, variant).tolist()
    return list(zip(analysis.result.class_names, rows, strict=True))


def _confusion_changes(analysis: Analysis) -> list[_ConfusionChange]:
    """Return the changes of each int8 file whose confusion matrix is not the reference's."""
    changes = []
    reference = _confusion_percent(analysis, analysis.reference)
    for variant in analysis.variants:
        change = _confusion_percent(analysis, variant) - reference
        if variant.precision == "int8" and change.any():
            rows = list(zip(analysis.result.class_names, change.tolist(), strict=True))
            changes.append(_ConfusionChange(variant, rows, float(np.abs(change).max())))
    return changes


def _disagreement_sections(
    analysis: Analysis, images: NDArray[np.uint8]
) -> list[_DisagreementSection]:
    return [
        _DisagreementSection(
            variant=variant,
            count=len(analysis.disagreements(variant)),
            difference=analysis.difference(variant),
            shown=disagreements.find_disagreements(analysis, variant, images, _MAX_DISAGREEMENTS),
        )
        for variant in analysis.variants
        if variant.precision == "int8" and variant != analysis.reference
    ]
