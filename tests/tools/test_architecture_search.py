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
    """A candidate is trained, exported and measured once; its file is used again."""
    assert (export_folder / "baseline.float32.tflite").exists()
    small = ["--candidate", "n-24", "--train-images", 300, "--validation-images", 60]
    for _ in range(2):
        output = run_tool("architecture_search", 1, *small, "--repeats", 2, "--iterations", 5)
        assert output.endswith("wrote docs/architecture-search.md\n")
    assert "epoch  1/1" not in output
    document = (tmp_path / "docs/architecture-search.md").read_text("utf-8")
    has_texts_of("architecture_search", document)
    assert "| n-24 | 16 / 24, 24, 24 / 32, 32 | " in document
    assert "on 60 validation images" in document
