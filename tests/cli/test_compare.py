"""``fmx bench compare``, with the samples of the reference report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from fmx_benchmarks.statistics.metrics import METRICS

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Completed = subprocess.CompletedProcess[str]

ROOT = Path(__file__).parents[2]


def test_output_is_reproducible(
    fmx_in_process: Callable[..., Completed], reference_result: Path, worse: Path
) -> None:
    """The bootstrap draws the same samples every time."""
    first, second = (fmx_in_process("bench", "compare", reference_result, worse) for _ in range(2))
    assert first.stdout == second.stdout


def test_document(fmx_in_process: Callable[..., Completed], worse: Path) -> None:
    """docs/regression-limits.md lists each metric, and each limit in it is valid."""
    text = (ROOT / "docs" / "regression-limits.md").read_text("utf-8")
    rows = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    assert set(re.findall(r"`(\w+)`", rows)) == set(METRICS)
    limits = re.findall(r"--fail-if '([^']+)'", text)
    assert limits
    done = fmx_in_process(
        "bench", "compare", worse, worse, *(word for one in limits for word in ("--fail-if", one))
    )
    assert done.stderr.count("passed") + done.stderr.count("cannot be judged") == len(limits)
