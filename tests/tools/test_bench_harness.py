"""The overhead and the repeatability of the benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType


@pytest.mark.slow
def test_page(
    run_tool: Callable[..., str],
    has_texts_of: Callable[..., None],
    export_folder: Path,
    image_file: Path,
    tmp_path: Path,
) -> None:
    """Two small benchmarks of the two int8 files are compared."""
    for path in export_folder.glob("*float32*"):
        path.unlink()
    small = ["--repeats", 2, "--iterations", 5, "--images", image_file]
    output = run_tool("bench_harness", "--runs", 2, "--calls", 50, *small)
    assert output == "wrote docs/bench-harness.md\n"
    document = (tmp_path / "docs/bench-harness.md").read_text("utf-8")
    has_texts_of("bench_harness", document)
    assert "| | run 1 | run 2 | largest / smallest |" in document
    ratios = [line for line in document.splitlines() if line.startswith("| ") and " / " in line]
    assert len(ratios) == 2  # the heading, and the pair


@pytest.mark.timed
def test_overhead_is_small(load_tool: Callable[[str], ModuleType]) -> None:
    """A timed call that does nothing takes far less than the simulated model of 25 us."""
    overhead = load_tool("bench_harness").measure_overhead(200, repeats=5)
    assert 0 < overhead.empty < 12
    assert overhead.total >= 25
    assert overhead.model >= 25
