"""The report as an HTML page, as text and in a real browser."""

from __future__ import annotations

import dataclasses
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from fmx_benchmarks.report.html import render_html
from fmx_benchmarks.report.markdown import render_markdown
from fmx_runtime.bench.result import Failure
from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fmx_runtime.bench.result import Result
    from fmx_training.data.dataset import Dataset


def test_the_page_needs_nothing_from_outside(result: Result, images: Dataset) -> None:
    """It refers to nothing that a browser would fetch, and holds its images."""
    page = render_html(result, images.images)
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert not re.findall(r"url\((?!#)|@import|<script", page)


def test_class_names_are_escaped(result: Result, images: Dataset) -> None:
    """A class name with markup in it is shown as text."""
    names = ("<script>alert(1)</script>", *result.class_names[1:])
    forged = dataclasses.replace(result, class_names=names)
    page = render_html(forged, images.images)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_two_machines(two_machines: Result, images: Dataset) -> None:
    """Every machine has its figures; failures and predictions that differ are reported."""
    text = render_html(two_machines, images.images)
    assert "pi5" in text
    assert "TFLite int8 on pi5: 1 of 300 of the labels differ" in text
    assert "no interpreter" in text
    assert "litert-benchmark (2.3)" in text
    assert "1.02 (1.02 to 1.02)" in text


def test_very_small_results(result: Result, images: Dataset) -> None:
    """One model on one image, or a machine on which all models failed, still give a page."""
    (run,) = result.runs
    one = run.variants[1]
    single = dataclasses.replace(
        one,
        predictions=one.predictions[:1],
        scores=one.scores[:1],
        true_label_scores=one.true_label_scores[:1],
        repeats=one.repeats[:1],
        throughputs=(),
    )
    few = dataclasses.replace(
        result,
        labels=result.labels[:1],
        runs=(
            dataclasses.replace(run, variants=(), failures=(Failure(name="x", reason="why"),)),
            dataclasses.replace(run, variants=(single,), device="there"),
        ),
    )
    assert "why" in render_html(few, images.images[:1])
    assert "why" in render_markdown(few)


def test_equal_results_give_equal_pages(result: Result, images: Dataset) -> None:
    """Nothing random and no date of today is in the page."""
    assert render_html(result, images.images) == render_html(result, images.images)


def test_other_images_are_refused(result: Result, images: Dataset) -> None:
    """The page shows the images that were measured, or none."""
    with pytest.raises(DataError, match="is of 300 images, received 7"):
        render_html(result, images.images[:7])


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def page_file(result: Result, images: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the run as a file."""
    folder = tmp_path_factory.mktemp("page")
    path = folder / "report.html"
    path.write_text(render_html(result, images.images), "utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_in_a_browser(
    browser: Any, page_file: Path, result: Result, width: int, scheme: str
) -> None:
    """On desktop and phone, light and dark: no error, no further request, no overflow."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    problems: list[str] = []
    requested: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requested.append(request.url))
    page.goto(page_file.as_uri())
    assert not problems
    assert all(url.startswith(("file:", "data:")) for url in requested)
    assert sum(url.startswith("file:") for url in requested) == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    text = page.inner_text("body")
    for name in ("Keras float32", "TFLite int8", "ONNX int8", *result.class_names):
        assert name in text
    assert page.locator("figure svg").count() == 2
    background, text_color = (
        page.evaluate(f"getComputedStyle(document.body).{name}")
        for name in ("backgroundColor", "color")
    )
    dark = [sum(map(int, color[4:-1].split(","))) < 3 * 128 for color in (background, text_color)]
    assert dark == [scheme == "dark", scheme == "light"]
    page.close()


def test_page_prints(browser: Any, page_file: Path) -> None:
    """It prints on a few pages."""
    page = browser.new_page()
    page.goto(page_file.as_uri())
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert 2 <= printed.count(b"/Type /Page\n") <= 15
    page.close()
