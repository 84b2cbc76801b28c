"""The time to prepare training batches."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.slow
def test_shares(run_tool: Callable[..., str]) -> None:
    """The printed share is that of preparing in the sum of both times."""
    output = run_tool("input_pipeline", "baseline", "--batches", 3, "--repeats", 1)
    figures = re.search(
        r"baseline: a batch of 64 takes ([\d.]+) ms to prepare and ([\d.]+) ms to train on; "
        r"preparing takes ([\d.]+)% of the time",
        output,
    )
    assert figures is not None
    preparing, training, share = map(float, figures.groups())
    assert 0 < preparing < 1000
    assert 0 < training < 10_000
    assert share == pytest.approx(100 * preparing / (preparing + training), abs=0.5)
