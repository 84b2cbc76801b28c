"""The reference report in the repository."""

from __future__ import annotations

from pathlib import Path

from fmx_benchmarks.report import report
from fmx_benchmarks.statistics.analysis import Analysis
from fmx_runtime.bench.result import Result

REFERENCE = Path(__file__).parents[3] / "benchmarks" / "reference"


def test_it_is_of_its_samples() -> None:
    """The Markdown is what the samples beside it say, and so is the README's table."""
    result = Result.from_json((REFERENCE / "result.json").read_text("utf-8"))
    assert report.markdown(result) == (REFERENCE / "report.md").read_text("utf-8")
    readme = (REFERENCE.parents[1] / "README.md").read_text("utf-8")
    analysis = Analysis(result, result.runs[0])
    for variant in analysis.variants:
        baseline = analysis.baseline(variant)
        if variant.precision == "int8" and baseline is not None:
            speed = analysis.speedup(variant, baseline)
            assert f"{speed.value:.2f}x ({speed.low:.2f} to {speed.high:.2f})" in readme
            assert f"| {100 * analysis.accuracy(variant).value:.2f} |" in readme


def test_others_figures_agree() -> None:
    """All 10,000 images, no failure, and every other tool within 10 % of ours."""
    result = Result.from_json((REFERENCE / "result.json").read_text("utf-8"))
    (run,) = result.runs
    assert len(result.labels) == 10_000
    assert not run.failures
    assert {one.peer for one in run.peers} == {
        "litert-benchmark",
        "onnxruntime alone",
        "LoadGen",
    }
    text = (REFERENCE / "report.md").read_text("utf-8")
    assert "| differ |" not in text
