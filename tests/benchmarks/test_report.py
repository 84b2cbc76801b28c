"""The reports as files, and the page in a real browser."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fmx_benchmarks import gallery, plots, report
from fmx_benchmarks.result import Result
from fmx_runtime.errors import DataError, OutputError

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_training.dataset import Dataset

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def folder(result: Result, pictures: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three reports of the run."""
    path = tmp_path_factory.mktemp("reports") / "made" / "baseline"
    written = report.write_all(result, pictures.images, path)
    assert [file.name for file in written] == ["result.json", "report.md", "report.html"]
    return path


def _in_browser(page: Path, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: apt-get install chromium")
    return subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--enable-logging=stderr", f"--user-data-dir={profile}",
            *options, page.as_uri(),
        ],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip


def test_the_json_is_the_result(folder: Path, result: Result) -> None:
    """result.json read back is the result."""
    assert Result.from_json((folder / "result.json").read_text("utf-8")) == result


def test_the_markdown_has_a_row_for_each_model(folder: Path, result: Result) -> None:
    """Every row of the table has as many cells as its heading."""
    lines = (folder / "report.md").read_text("utf-8").splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + len(result.variants)
    assert len({row.count("|") for row in rows}) == 1
    assert result.machine.processor in "\n".join(lines)


def test_the_page_needs_nothing_from_outside(folder: Path) -> None:
    """It names no address that a browser would fetch, and carries its pictures inside."""
    page = (folder / "report.html").read_text("utf-8")
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert not re.findall(r"url\((?!#)|@import|<script", page)


def test_the_page_in_a_browser(folder: Path, result: Result, tmp_path: Path) -> None:
    """A real browser shows all models and plots, and complains of nothing on its console."""
    done = _in_browser(folder / "report.html", tmp_path, "--dump-dom")
    assert "CONSOLE" not in done.stderr
    for name in ("Keras float32", "TFLite int8", "ONNX int8"):
        assert name in done.stdout
    assert done.stdout.count("<svg") == 2
    assert done.stdout.count("<tr>") > 2 * len(result.class_names)


@pytest.mark.parametrize("width", [1280, 500])
def test_the_page_is_not_wider_than_the_window(folder: Path, tmp_path: Path, width: int) -> None:
    """On a desktop and on a phone, nothing makes the whole page scroll sideways."""
    page = folder / f"measured-{width}.html"
    probe = "<script>document.title = `${document.documentElement.scrollWidth}`</script></body>"
    page.write_text((folder / "report.html").read_text("utf-8").replace("</body>", probe), "utf-8")
    done = _in_browser(page, tmp_path, "--dump-dom", f"--window-size={width},900")
    found = re.search(r"<title>(\d+)</title>", done.stdout)
    assert found is not None
    assert 0 < int(found[1]) <= width


def test_class_names_are_text(result: Result, pictures: Dataset) -> None:
    """A class name with markup in it is shown, not obeyed."""
    names = ("<script>alert(1)</script>", *result.class_names[1:])
    page = report.html(dataclasses.replace(result, class_names=names), pictures.images)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_equal_results_give_equal_pages(result: Result, pictures: Dataset) -> None:
    """Nothing random and no date of today is in the page."""
    assert report.html(result, pictures.images) == report.html(result, pictures.images)


def test_other_pictures_are_refused(result: Result, pictures: Dataset) -> None:
    """A gallery is drawn from the pictures that were measured, or not at all."""
    with pytest.raises(DataError, match="is of 300 pictures, received 7"):
        report.html(result, pictures.images[:7])


def test_a_folder_that_cannot_be_written(result: Result, pictures: Dataset, tmp_path: Path) -> None:
    """A file in the way gives an OutputError and stays what it was."""
    (tmp_path / "file").write_text("mine", "utf-8")
    with pytest.raises(OutputError, match="cannot write to"):
        report.write_all(result, pictures.images, tmp_path / "file" / "reports")
    assert (tmp_path / "file").read_text("utf-8") == "mine"


def test_the_gallery_shows_the_pictures_that_differ(result: Result, pictures: Dataset) -> None:
    """Each exhibit is a picture both answer differently, with its own pixels."""
    for variant in result.variants:
        shown = gallery.disagreements(result, variant, pictures.images, 5)
        assert len(shown) == min(5, len(result.disagreements(variant)))
        for one in shown:
            assert one.answer != one.reference
            data = base64.b64decode(one.source.removeprefix("data:image/png;base64,"))
            with Image.open(io.BytesIO(data)) as image:
                assert np.array_equal(np.asarray(image), pictures.images[one.number, :, :, 0])


def test_verdicts(result: Result, pictures: Dataset) -> None:
    """Gained, lost and both wrong are told apart, and add up to the difference."""
    variant = result.variants[3]
    forged = dataclasses.replace(
        variant, answers=tuple((answer + 1) % 10 for answer in variant.answers)
    )
    changed = dataclasses.replace(result, variants=(*result.variants[:3], forged))
    shown = gallery.disagreements(changed, forged, pictures.images, 300)
    difference = changed.difference(forged)
    verdicts = [one.verdict for one in shown]
    assert verdicts.count("gained") == difference.gained
    assert verdicts.count("lost") == difference.lost
    assert set(verdicts) == {"gained", "lost", "both wrong"}


def test_plots_take_the_pages_ink(result: Result) -> None:
    """Plots are drawn in the page's text colour, which a dark page turns light."""
    for svg in (plots.tradeoff_svg(result), plots.latency_svg(result)):
        assert svg.startswith("<svg")
        assert "currentColor" in svg
        assert "TFLite int8" in svg
        assert "#000000" not in svg
