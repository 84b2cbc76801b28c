"""The plots of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_benchmarks.report import plots

if TYPE_CHECKING:
    from fmx_benchmarks.statistics.analysis import Analysis
    from fmx_runtime.bench.result import Variant


def test_plots_have_the_text_color_of_the_page(analysis: Analysis) -> None:
    """Plots are drawn in the current text color, which is light on a dark page."""
    for svg in (plots.tradeoff_svg(analysis), plots.latency_svg(analysis)):
        assert svg.startswith("<svg")
        assert "currentColor" in svg
        assert "TFLite int8" in svg
        assert "#000000" not in svg


def test_pareto_front(analysis: Analysis) -> None:
    """No model of the front is beaten in all of accuracy, latency and size."""
    front = plots.pareto_front(analysis)

    def beats(one: Variant, other: Variant) -> bool:
        return (
            analysis.accuracy(one).value >= analysis.accuracy(other).value
            and analysis.latency_us(one, 50) <= analysis.latency_us(other, 50)
            and one.size_bytes < other.size_bytes
        )

    assert front
    assert not any(beats(one, other) for one in analysis.variants for other in front)
