"""The model cards of the trained models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

TRAINED = Path(__file__).parents[2] / "training" / "trained"


@pytest.mark.slow
def test_card(
    run_tool: Callable[..., str],
    has_texts_of: Callable[..., None],
    export_folder: Path,
    image_file: Path,
    tmp_path: Path,
) -> None:
    """The card of nano has its seeds, the commands of its teachers, and older latencies."""
    (tmp_path / "docs/models").mkdir(parents=True)
    old = "| latency p50, ARM Cortex-A72, NEON | 400.0 µs |"
    (tmp_path / "docs/models/nano.md").write_text(f"{old}\n", "utf-8")
    float_file = export_folder / "baseline.float32.tflite"
    small = ["--bench", "repeats=2", "iterations=5", f"images={image_file}"]
    output = run_tool("model_cards", float_file, "--recipe", "nano", "--test-images", 100, *small)
    assert output == "wrote docs/models/nano.md\n"
    document = (tmp_path / "docs/models/nano.md").read_text("utf-8")
    has_texts_of("model_card_text", document)
    assert old in document
    assert document.count("| latency p50, ") == 2
    assert "| accuracy on 100 test images | " in document
    for seed in (0, 1, 2):
        assert f"[nano-{seed}](../../training/trained/nano-{seed})" in document
    assert "Not measured; `make model-cards PHOTOS=DIR` does." in document
    run = json.loads((TRAINED / "nano-0/run.json").read_text("utf-8"))
    assert len(run["teachers"]) == 2
    for teacher in run["teachers"]:
        assert f" -o {teacher['run']}\n" in document
