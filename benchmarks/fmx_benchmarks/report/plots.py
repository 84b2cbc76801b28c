"""The plots of a report, as SVG in the text color of the page around it."""

from __future__ import annotations

import io
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from fmx_benchmarks.statistics.display_names import model_title

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fmx_benchmarks.statistics.analysis import Analysis
    from fmx_runtime.bench.result import Variant

__all__ = ["latency_svg", "pareto_front", "tradeoff_svg"]

_INK = "#010203"  # replaced by the text color of the page, see _to_svg
_COLORS = {
    ("keras", "float32"): "#8a8a8e",
    ("tflite", "float32"): "#6fb1dc",
    ("tflite", "float16"): "#8fa8d8",
    ("tflite", "dynamic"): "#3aa99f",
    ("tflite", "int16x8"): "#7b6bb5",
    ("tflite", "int8"): "#1f78b4",
    ("onnx", "float32"): "#f0a860",
    ("onnx", "float16"): "#e0876a",
    ("onnx", "int8"): "#d1495b",
}
_WIDTH = 7.6  # inches
_LABEL_OFFSETS = (
    -13,
    13,
    -41,
    41,
)  # points; in turns, so that the labels of neighbors do not overlap
_STYLE: Any = {  # typed by names that only matplotlib knows
    "svg.fonttype": "none",
    "svg.hashsalt": "fmx",  # equal figures give equal bytes
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
}


def tradeoff_svg(analysis: Analysis) -> str:
    """Plot accuracy against median latency; a mark's area shows the file's size.

    A line joins the models of the Pareto front; the other models are paler.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    variants = sorted(analysis.variants, key=lambda variant: analysis.latency_us(variant, 50))
    front = pareto_front(analysis)
    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 3.8), layout="constrained")
        axes = figure.subplots()
        largest = max(variant.size_bytes for variant in variants)
        points = {
            one: (analysis.latency_us(one, 50), 100 * analysis.accuracy(one).value)
            for one in variants
        }
        line = [points[one] for one in variants if one in front]
        axes.plot(*zip(*line, strict=True), color=_INK, alpha=0.35, linewidth=1, linestyle="--")
        for variant, offset in zip(variants, itertools.cycle(_LABEL_OFFSETS), strict=False):
            point, alpha = points[variant], 1.0 if variant in front else 0.4
            low, high = (100 * bound for bound in analysis.accuracy(variant).interval)
            color = _color(variant)
            axes.plot([point[0]] * 2, [low, high], color=color, alpha=0.35, linewidth=1.5)
            area = 40 + 260 * variant.size_bytes / largest
            axes.scatter(*point, s=area, color=color, alpha=alpha, zorder=3)
            axes.annotate(
                f"{model_title(variant, analysis.run)}\n{variant.size_bytes / 1e3:,.0f} KB",
                point,
                xytext=(0, offset),
                textcoords="offset points",
                ha="center",
                va="bottom" if offset > 0 else "top",
                fontsize=8,
            )
        axes.margins(x=0.14, y=0.16)
        axes.set_ylabel("accuracy, %")
        _format_latency_axis(axes, "p50 latency, µs")
        axes.grid(alpha=0.15, color=_INK)
        return _to_svg(figure)


def pareto_front(analysis: Analysis) -> tuple[Variant, ...]:
    """Return the models that no other model dominates.

    A model dominates another if it is no worse in accuracy, median latency and size, and better in
    at least one of them.
    """

    def costs(variant: Variant) -> tuple[float, float, float]:
        return (
            -analysis.accuracy(variant).value,
            analysis.latency_us(variant, 50),
            variant.size_bytes,
        )

    all_costs = {one: costs(one) for one in analysis.variants}

    def is_dominated(own: tuple[float, ...]) -> bool:
        return any(
            other != own and all(a <= b for a, b in zip(other, own, strict=True))
            for other in all_costs.values()
        )

    return tuple(one for one, own in all_costs.items() if not is_dominated(own))


def latency_svg(analysis: Analysis) -> str:
    """Plot the distribution of single-image latencies, with each model's p50, p90 and p99."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    variants = analysis.variants
    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 0.9 + 0.55 * len(variants)), layout="constrained")
        axes = figure.subplots()
        fastest = min(analysis.latency_us(variant, 0) for variant in variants)
        slowest = max(analysis.latency_us(variant, 99.5) for variant in variants)
        edges = np.geomspace(fastest * 0.97, slowest * 1.03, 160)
        for row, variant in enumerate(variants):
            _draw_distribution(
                axes, row, variant, edges, [analysis.latency_us(variant, p) for p in (50, 90, 99)]
            )
        axes.set_yticks(range(len(variants)), [model_title(one, analysis.run) for one in variants])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_ylim(len(variants) - 0.45, -0.85)
        axes.grid(axis="x", alpha=0.15, color=_INK)
        _format_latency_axis(axes, "latency, µs")
        return _to_svg(figure)


def _draw_distribution(
    axes: Axes, row: int, variant: Variant, edges: np.ndarray, quantiles: Sequence[float]
) -> None:
    counts, _ = np.histogram(np.concatenate([one.latencies_us for one in variant.repeats]), edges)
    color = _color(variant)
    heights = 0.75 * np.sqrt(counts / counts.max())  # the root makes rare slow calls visible
    axes.fill_between(
        edges[:-1], row + 0.12, row + 0.12 - heights, step="post", color=color, linewidth=0
    )
    axes.plot(quantiles, [row + 0.22] * 3, "|", color=color, markersize=7)
    words = " / ".join(f"{value:,.0f}" for value in quantiles)
    axes.text(1.02, row + 0.05, words, transform=axes.get_yaxis_transform(), fontsize=8)


def _format_latency_axis(axes: Axes, label: str) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.set_xscale("log")
    axes.set_xlabel(label)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _color(variant: Variant) -> str:
    return _COLORS[variant.format, variant.precision]


def _to_svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :].replace(_INK, "currentColor")
