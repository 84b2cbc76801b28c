"""The measurements of the reference tools' worker."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_benchmarks.measure.reference_tool_worker import MEASUREMENTS
from fmx_benchmarks.measure.reference_tools import REFERENCE_TOOLS
from fmx_runtime.support.cores import last_core

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fmx_training.data.dataset import Dataset


def test_every_tool_has_its_measurements() -> None:
    """What the tools name is what the worker can measure, and nothing is left over."""
    named = {name for one in REFERENCE_TOOLS for name in (one.tool, one.fmx, one.overhead) if name}
    assert named == set(MEASUREMENTS)


@pytest.mark.parametrize("measurement", ["network", "prediction"])
def test_a_figure_is_all_that_is_printed(
    measurement: str, files: Sequence[Path], images: Dataset, tmp_path: Path
) -> None:
    """Standard output is one number above 0, bound to a core or not."""
    path = tmp_path / "images.npy"
    np.save(path, images.images)
    core = last_core()
    for bound in {"-", "-" if core is None else str(core)}:
        module = "fmx_benchmarks.measure.reference_tool_worker"
        done = subprocess.run(
            [sys.executable, "-m", module, measurement, bound, files[2], path],
            capture_output=True,
            text=True,
            check=True,
        )
        assert float(done.stdout) > 0
