"""The export of the networks of keras.applications."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

SMALL = ["--image-size", 32, "--train", 40, "--calibration", 10, "--validation", 20]


@pytest.mark.slow
def test_page(
    run_tool: Callable[..., str],
    has_texts_of: Callable[..., None],
    tmp_path: Path,
) -> None:
    """One network is exported to four files; its row and its saved result have their figures."""
    only = ["--only", "MobileNet", "--statistics", 20, "--epochs", 1]
    output = run_tool("export_coverage", *only, *SMALL)
    assert output.splitlines()[-1] == "wrote docs/export-coverage.md with 1 of 12 families"
    document = (tmp_path / "docs/export-coverage.md").read_text("utf-8")
    has_texts_of("export_coverage", document)
    assert "input 32x32 RGB" in document
    result = json.loads((tmp_path / "build/export-coverage/MobileNet.json").read_text("utf-8"))
    assert result["failed"] is None
    assert len(result["files"]) == 4
    for file in result["files"].values():
        assert file["rejected"] is None
        assert 0 <= file["agreement"] <= 1
    row = next(line for line in document.splitlines() if line.startswith("| MobileNet |"))
    assert f"| {result['parameters']:,} |" in row


def test_row_of_a_failure(load_tool: Callable[[str], ModuleType]) -> None:
    """A family that could not be exported has a row with the reason."""
    tool = load_tool("export_coverage")
    failed = tool._failure("MobileNet", "its process ended with exit code -9")
    row = tool._row(failed)
    assert row == "| MobileNet | - | - | - | - | - | - | - | its process ended with exit code -9 |"
