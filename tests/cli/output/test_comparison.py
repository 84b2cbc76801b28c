"""The comparison that ``fmx bench compare`` prints."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fmx_benchmarks.statistics.compare import Change, Comparison, Unknown
from fmx_benchmarks.statistics.confidence_intervals import Estimate
from fmx_cli.output.comparison import print_comparison

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    Completed = subprocess.CompletedProcess[str]


def test_table(
    fmx_in_process: Callable[..., Completed], reference_result: Path, worse: Path
) -> None:
    """In 80 columns each change has its interval and its mark; missing and failed models follow."""
    done = fmx_in_process("bench", "compare", reference_result, worse)
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    row = r"latency_p50 +[\d.]+ µs +[\d.]+ µs \+30\.00 % +\+[\d.]+ to \+[\d.]+ \*\n"
    assert len(re.findall(row, done.stdout)) == 1
    assert done.stdout.count("*") == 5  # three percentiles, the speed, and what the mark means
    assert "ONNX int8 is not in the new result" in done.stdout
    assert "not measured: baseline.int8.onnx: it is damaged [again]" in done.stdout
    assert not done.stderr


def test_model_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Of rows about one model the first has its name; brackets in remarks are kept."""
    slower = Change("TFLite int8", "latency_p50", 10, 13, Estimate(30, 28.5, 31))
    size = Change("TFLite int8", "size", 240_000, 240_000, Estimate(0, 0, 0))
    other = Change("ONNX int8", "size", 250_000, 250_000, Estimate(0, 0, 0))
    unknown = (Unknown("Keras float32", "size", "Keras [red] is not in the new result"),)
    print_comparison(
        Comparison((slower, size, other), unknown, added=(), failures=(), same_images=True)
    )
    _, first, second, third, remark, meaning = capsys.readouterr().out.splitlines()
    assert first.startswith("TFLite int8 latency_p50 ")
    assert first.rstrip().endswith("*")
    assert second.split()[0] == "size"
    assert "*" not in second
    assert third.startswith("ONNX int8 ")
    assert remark == "Keras [red] is not in the new result"
    assert meaning == "* beyond noise: the interval does not contain 0"
