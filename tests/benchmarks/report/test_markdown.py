"""The report as Markdown."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fmx_benchmarks.report.markdown import render_markdown
from fmx_runtime.bench.result import Failure

if TYPE_CHECKING:
    from fmx_runtime.bench.result import Result


def test_each_model_has_a_row(result: Result) -> None:
    """Every row of the table has as many cells as its heading."""
    lines = render_markdown(result).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + len(result.runs[0].variants)
    assert len({row.count("|") for row in rows}) == 1
    assert result.runs[0].machine.processor in "\n".join(lines)


def test_names_are_escaped(result: Result) -> None:
    """A name with markup, a bar or a line break in it stays one cell or line of text."""
    failure = Failure(name="<b>a|b</b>", reason="first\nsecond")
    run = dataclasses.replace(result.runs[0], failures=(failure,))
    text = render_markdown(dataclasses.replace(result, runs=(run,)))
    assert "&lt;b&gt;a\\|b&lt;/b&gt;: first second" in text


def test_two_machines(two_machines: Result) -> None:
    """Every machine has its figures; failures and predictions that differ are reported."""
    text = render_markdown(two_machines)
    assert "### pi5 (" in text
    assert "TFLite int8 on pi5: 1 of 300 of the labels differ" in text
    assert "no interpreter" in text
    assert "litert-benchmark (2.3)" in text
    assert "1.02 (1.02 to 1.02)" in text
