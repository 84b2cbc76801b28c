"""The reports as files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fmx_benchmarks.report.files import HTML_NAME, write_reports
from fmx_runtime.bench.result import Result
from fmx_runtime.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_training.data.dataset import Dataset


def test_three_reports_are_written(result: Result, images: Dataset, tmp_path: Path) -> None:
    """The folder is created, and result.json read back is the result."""
    folder = tmp_path / "made" / "baseline"
    written = write_reports(result, images.images, folder)
    assert written == (folder / "result.json", folder / "report.md", folder / HTML_NAME)
    assert Result.from_json(written[0].read_text("utf-8")) == result


def test_a_folder_that_cannot_be_written(result: Result, images: Dataset, tmp_path: Path) -> None:
    """A file in the way gives an OutputError and stays what it was."""
    (tmp_path / "file").write_text("mine", "utf-8")
    with pytest.raises(OutputError, match="cannot write to"):
        write_reports(result, images.images, tmp_path / "file" / "reports")
    assert (tmp_path / "file").read_text("utf-8") == "mine"
