"""What a training's process does with memory that is freed."""

from __future__ import annotations

import subprocess
import sys

import pytest

STEPS = """
import resource
import numpy as np
from fmx_cli import memory
if {kept}:
    memory.keep_freed()
def step():
    tensors = [np.ones(1 << 18, np.float32) for _ in range(64)]
for _ in range(4):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_freed_memory_is_used_again() -> None:
    """What a step frees, the next one has at once, where the kernel had to give it anew."""
    faults = {
        kept: int(
            subprocess.run(
                [sys.executable, "-c", STEPS.format(kept=kept)],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for kept in (False, True)
    }
    assert faults[True] < 100
    assert faults[False] > 10 * faults[True]
