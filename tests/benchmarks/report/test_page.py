"""The HTML report in a real browser."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from fmx_benchmarks.report import report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fmx_runtime.bench.result import Result
    from fmx_training.data.dataset import Dataset

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def page_file(result: Result, images: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the run."""
    folder = tmp_path_factory.mktemp("page")
    report.write_all(result, images.images, folder)
    return folder / report.HTML_NAME


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real one, without a window."""
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page(browser: Any, page_file: Path, result: Result, width: int, scheme: str) -> None:
    """On desktop and phone, light and dark: no complaint, nothing from outside, no overflow."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_file.as_uri())
    assert not complaints
    assert all(url.startswith(("file:", "data:")) for url in asked)
    assert sum(url.startswith("file:") for url in asked) == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    text = page.inner_text("body")
    for name in ("Keras float32", "TFLite int8", "ONNX int8", *result.class_names):
        assert name in text
    assert page.locator("figure svg").count() == 2
    ground, ink = (
        page.evaluate(f"getComputedStyle(document.body).{name}")
        for name in ("backgroundColor", "color")
    )
    dark = [sum(map(int, colour[4:-1].split(","))) < 3 * 128 for colour in (ground, ink)]
    assert dark == [scheme == "dark", scheme == "light"]
    page.close()


def test_it_prints(browser: Any, page_file: Path) -> None:
    """It can be printed on a few pages."""
    page = browser.new_page()
    page.goto(page_file.as_uri())
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert 2 <= printed.count(b"/Type /Page\n") <= 15
    page.close()
