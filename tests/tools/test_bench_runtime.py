"""The runtime's overhead over the bare interpreter."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_page(
    run_tool: Callable[..., str],
    has_texts_of: Callable[..., None],
    export_folder: Path,
    tmp_path: Path,
) -> None:
    """All rows are measured, with as many images and repeats as requested."""
    assert (export_folder / "baseline.int8.tflite").exists()
    repeats = ["--warm-repeats", 2, "--cold-repeats", 1, "--folder-repeats", 1]
    assert run_tool("bench_runtime", "--images", 12, *repeats) == "wrote docs/runtime-speed.md\n"
    document = (tmp_path / "docs/runtime-speed.md").read_text("utf-8")
    has_texts_of("bench_runtime", document)
    for row in (
        "| time of one array, warm | ",
        "| images per second, 12 PNG files | ",
        "| `Classifier.classify(array)` | ",
        "| fmx-run IMAGE | ",
        "| two bare loops, half of the images each | ",
    ):
        assert row in document
