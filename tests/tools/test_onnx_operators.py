"""The time per operator of ONNX files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.slow
def test_page(
    run_tool: Callable[..., str],
    has_texts_of: Callable[..., None],
    run_folder: Path,
    tmp_path: Path,
) -> None:
    """The three files are timed as a whole and by operator."""
    assert run_folder.is_dir()
    output = run_tool("onnx_operators", "--repeats", 2, "--profiled", 20)
    assert output.endswith("wrote docs/onnx-speed.md\n")
    document = (tmp_path / "docs/onnx-speed.md").read_text("utf-8")
    has_texts_of("onnx_operators", document)
    sections = document.split("\n### ")[1:]
    assert [section.splitlines()[0] for section in sections] == [
        "float32",
        "int8, before",
        "int8, after",
    ]
    for section, convolution in zip(sections, ("Conv", "QLinearConv", "QLinearConv"), strict=True):
        assert len(re.findall(rf"^\| {convolution} \| [\d.]+ \|$", section, re.MULTILINE)) == 2
        assert re.search(r"^\| \*sum\* \| [\d.]+ \|$", section, re.MULTILINE)
