"""The pages in docs/ that tools write have the texts of these tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("tool", "page"),
    [
        ("bench_harness", "bench-harness.md"),
        ("bench_runtime", "runtime-speed.md"),
        ("export_coverage", "export-coverage.md"),
        ("interpreter_versions", "interpreter-versions.md"),
        ("model_card_text", "models/edge.md"),
        ("model_card_text", "models/max.md"),
        ("model_card_text", "models/nano.md"),
        ("onnx_operators", "onnx-speed.md"),
    ],
)
def test_page_has_the_texts_of_its_tool(
    tool: str, page: str, has_texts_of: Callable[..., None]
) -> None:
    """A page that was edited by hand, or a tool whose texts changed since, would differ."""
    has_texts_of(tool, (ROOT / "docs" / page).read_text("utf-8"))


def test_architecture_search_page(has_texts_of: Callable[..., None]) -> None:
    """This page has a preface of its own; from the list on it has the tool's texts."""
    document = (ROOT / "docs/architecture-search.md").read_text("utf-8")
    has_texts_of("architecture_search", document, "\n- *Accuracy*")
