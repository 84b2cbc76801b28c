"""The reference report in the repository."""

from __future__ import annotations

from pathlib import Path

from fmx_benchmarks.report.markdown import render_markdown
from fmx_benchmarks.statistics.analysis import Analysis
from fmx_runtime.bench.result import Result

REFERENCE = Path(__file__).parents[3] / "benchmarks" / "reference"


def test_the_report_is_up_to_date() -> None:
    """The Markdown is rendered from the samples beside it; the README's table has its figures."""
    result = Result.from_json((REFERENCE / "result.json").read_text("utf-8"))
    assert render_markdown(result) == (REFERENCE / "report.md").read_text("utf-8")
    readme = (REFERENCE.parents[1] / "README.md").read_text("utf-8")
    analysis = Analysis(result, result.runs[0])
    for variant in analysis.variants:
        baseline = analysis.baseline(variant)
        if variant.precision == "int8" and baseline is not None:
            speed = analysis.speedup(variant, baseline)
            assert f"{speed.value:.2f}x ({speed.low:.2f} to {speed.high:.2f})" in readme
            assert f"| {100 * analysis.accuracy(variant).value:.2f} |" in readme


def test_reference_tools_agree() -> None:
    """All 10,000 images, no failure, and every reference tool within 10 % of fmx."""
    result = Result.from_json((REFERENCE / "result.json").read_text("utf-8"))
    (run,) = result.runs
    assert len(result.labels) == 10_000
    assert not run.failures
    assert {one.tool for one in run.reference_tools} == {
        "litert-benchmark",
        "onnxruntime alone",
        "LoadGen",
    }
    text = (REFERENCE / "report.md").read_text("utf-8")
    assert "| differ |" not in text
