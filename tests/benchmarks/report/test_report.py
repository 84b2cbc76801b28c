"""The reports as files, and the page in a real browser."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fmx_benchmarks.report import gallery, plots, report
from fmx_benchmarks.statistics.analysis import Analysis
from fmx_runtime.bench.result import Failure, ReferenceToolTiming, Result
from fmx_runtime.errors import DataError, OutputError

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_runtime.bench.result import Variant
    from fmx_training.data.dataset import Dataset


@pytest.fixture(scope="module")
def folder(result: Result, images: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three reports of the run."""
    path = tmp_path_factory.mktemp("reports") / "made" / "baseline"
    written = report.write_all(result, images.images, path)
    assert [file.name for file in written] == ["result.json", "report.md", "report.html"]
    return path


@pytest.fixture(scope="module")
def several(result: Result) -> Result:
    """The run beside the same on another machine, where one answer differs and a file failed."""
    (run,) = result.runs
    other = dataclasses.replace(
        run.variants[3],
        answers=((run.variants[3].answers[0] + 1) % 10, *run.variants[3].answers[1:]),
    )
    there = dataclasses.replace(
        run,
        place="pi5",
        variants=(run.variants[1], other),
        failures=(Failure(name="a.int8.onnx", reason="no interpreter"),),
    )
    peer = ReferenceToolTiming(
        peer="litert-benchmark",
        version="2.3",
        variant="a.int8.tflite",
        statistic="mean",
        what="the network alone",
        theirs_us=(10.2, 20.4, 30.6),
        ours_us=(10, 20, 30),
    )
    return dataclasses.replace(result, runs=(dataclasses.replace(run, peers=(peer,)), there))


def test_the_json_is_the_result(folder: Path, result: Result) -> None:
    """result.json read back is the result."""
    assert Result.from_json((folder / "result.json").read_text("utf-8")) == result


def test_the_markdown_has_a_row_for_each_model(folder: Path, result: Result) -> None:
    """Every row of the table has as many cells as its heading."""
    lines = (folder / "report.md").read_text("utf-8").splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + len(result.runs[0].variants)
    assert len({row.count("|") for row in rows}) == 1
    assert result.runs[0].machine.processor in "\n".join(lines)


def test_the_page_needs_nothing_from_outside(folder: Path) -> None:
    """It names no address that a browser would fetch, and carries its images inside."""
    page = (folder / "report.html").read_text("utf-8")
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert not re.findall(r"url\((?!#)|@import|<script", page)


def test_class_names_are_text(result: Result, images: Dataset) -> None:
    """A class name with markup in it is shown, not obeyed."""
    names = ("<script>alert(1)</script>", *result.class_names[1:])
    forged = dataclasses.replace(result, class_names=names)
    page = report.html(forged, images.images)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_names_are_text_in_markdown(result: Result) -> None:
    """A name with markup, a bar or a line break in it stays one cell or line of text."""
    failure = Failure(name="<b>a|b</b>", reason="first\nsecond")
    run = dataclasses.replace(result.runs[0], failures=(failure,))
    text = report.markdown(dataclasses.replace(result, runs=(run,)))
    assert "&lt;b&gt;a\\|b&lt;/b&gt;: first second" in text


def test_several_machines_side_by_side(several: Result, images: Dataset) -> None:
    """Every machine has its figures, and what failed and what answers otherwise is said."""
    for text in (report.markdown(several), report.html(several, images.images)):
        assert "pi5" in text
        assert "TFLite int8 on pi5: 1 of 300 of the labels differ" in text
        assert "no interpreter" in text
        assert "litert-benchmark (2.3)" in text
        assert "1.02 (1.02 to 1.02)" in text


def test_little_is_enough(result: Result, images: Dataset) -> None:
    """One model on one image, or a machine where all failed, still give a page."""
    (run,) = result.runs
    one = run.variants[1]
    single = dataclasses.replace(
        one,
        answers=one.answers[:1],
        scores=one.scores[:1],
        true_scores=one.true_scores[:1],
        rounds=one.rounds[:1],
        throughputs=(),
    )
    few = dataclasses.replace(
        result,
        labels=result.labels[:1],
        runs=(
            dataclasses.replace(run, variants=(), failures=(Failure(name="x", reason="why"),)),
            dataclasses.replace(run, variants=(single,), place="there"),
        ),
    )
    assert "why" in report.html(few, images.images[:1])
    assert "why" in report.markdown(few)


def test_equal_results_give_equal_pages(result: Result, images: Dataset) -> None:
    """Nothing random and no date of today is in the page."""
    assert report.html(result, images.images) == report.html(result, images.images)


def test_other_images_are_refused(result: Result, images: Dataset) -> None:
    """A gallery is drawn from the images that were measured, or not at all."""
    with pytest.raises(DataError, match="is of 300 images, received 7"):
        report.html(result, images.images[:7])


def test_a_folder_that_cannot_be_written(result: Result, images: Dataset, tmp_path: Path) -> None:
    """A file in the way gives an OutputError and stays what it was."""
    (tmp_path / "file").write_text("mine", "utf-8")
    with pytest.raises(OutputError, match="cannot write to"):
        report.write_all(result, images.images, tmp_path / "file" / "reports")
    assert (tmp_path / "file").read_text("utf-8") == "mine"


def test_the_gallery_shows_the_images_that_differ(analysis: Analysis, images: Dataset) -> None:
    """Each exhibit is an image both answer differently, with its own pixels."""
    for variant in analysis.variants:
        shown = gallery.disagreements(analysis, variant, images.images, 5)
        assert len(shown) == min(5, len(analysis.disagreements(variant)))
        for one in shown:
            assert one.answer != one.reference
            data = base64.b64decode(one.source.removeprefix("data:image/png;base64,"))
            with Image.open(io.BytesIO(data)) as image:
                assert np.array_equal(np.asarray(image), images.images[one.number, :, :, 0])


def test_verdicts(analysis: Analysis, images: Dataset) -> None:
    """Gained, lost and both wrong are told apart, and add up to the difference."""
    variant = analysis.variants[3]
    forged = dataclasses.replace(
        variant, answers=tuple((answer + 1) % 10 for answer in variant.answers)
    )
    run = dataclasses.replace(analysis.run, variants=(*analysis.variants[:3], forged))
    changed = Analysis(analysis.result, run)
    shown = gallery.disagreements(changed, forged, images.images, 300)
    difference = changed.difference(forged)
    verdicts = [one.verdict for one in shown]
    assert verdicts.count("gained") == difference.gained
    assert verdicts.count("lost") == difference.lost
    assert set(verdicts) == {"gained", "lost", "both wrong"}


def test_plots_take_the_pages_ink(analysis: Analysis) -> None:
    """Plots are drawn in the page's text colour, which a dark page turns light."""
    for svg in (plots.tradeoff_svg(analysis), plots.latency_svg(analysis)):
        assert svg.startswith("<svg")
        assert "currentColor" in svg
        assert "TFLite int8" in svg
        assert "#000000" not in svg


def test_the_front_has_what_nothing_beats(analysis: Analysis) -> None:
    """No model of the front is beaten in all of accuracy, time and size; each other one is."""
    front = plots.pareto_front(analysis)

    def beats(one: Variant, other: Variant) -> bool:
        return (
            analysis.accuracy(one).value >= analysis.accuracy(other).value
            and analysis.latency_us(one, 50) <= analysis.latency_us(other, 50)
            and one.size_bytes < other.size_bytes
        )

    assert front
    assert not any(beats(one, other) for one in analysis.variants for other in front)
