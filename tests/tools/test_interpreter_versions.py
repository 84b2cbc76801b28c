"""The comparison of versions of TFLite's interpreter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.slow
def test_page(
    run_tool: Callable[..., str],
    has_texts_of: Callable[..., None],
    export_folder: Path,
    tmp_path: Path,
) -> None:
    """Built-in kernels equal those of the old version; layers differ by at most one step."""
    assert (export_folder / "baseline.int8.tflite").exists()
    run_tool("interpreter_versions", "--images", 20, "--repeats", 2)
    document = (tmp_path / "docs/interpreter-versions.md").read_text("utf-8")
    has_texts_of("interpreter_versions", document)
    assert "built-in kernels, and 2.14.0 | 0 of 256 | 0.0% | 100.00% |" in document
    rows = [line.split(" | ") for line in document.splitlines() if line.startswith("| CONV_2D")]
    assert len(rows) == 2
    assert all(int(row[2]) <= 1 for row in rows)
