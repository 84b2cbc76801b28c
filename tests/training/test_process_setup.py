"""The settings of a process that trains networks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fmx_training.process_setup import enable_onednn

STEPS = """
import resource
import numpy as np
from fmx_training.process_setup import prepare_training_process
if {kept}:
    prepare_training_process()
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
def test_freed_memory_is_reused() -> None:
    """Memory freed by one step serves the next one without page faults; by default it does not."""
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


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("0", "0")])
def test_onednn_can_be_disabled(
    given: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorFlow uses oneDNN unless the user's environment says otherwise."""
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if given is not None:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", given)
    enable_onednn()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == expected
