"""The search for network architectures."""

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
    """A candidate is trained, exported and measured; its file is kept for the next run."""
    assert (export_folder / "baseline.float32.tflite").exists()
    small = ["--candidate", "n-24", "--train-images", 300, "--validation-images", 60]
    output = run_tool("architecture_search", 1, *small, "--repeats", 2, "--iterations", 5)
    assert "epoch  1/1" in output
    assert output.endswith("wrote docs/architecture-search.md\n")
    assert (tmp_path / "build/architecture-search/n-24-1/n-24.int8.tflite").exists()
    document = (tmp_path / "docs/architecture-search.md").read_text("utf-8")
    has_texts_of("architecture_search", document)
    assert "| n-24 | 16 / 24, 24, 24 / 32, 32 | " in document
    assert "on 60 validation images" in document
