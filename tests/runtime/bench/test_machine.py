"""The description of the machine."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib.metadata import version

from fmx_runtime.bench import machine


def test_this_machine_is_described() -> None:
    """Architecture, cores, memory, Python and packages are those of this process."""
    here = machine.describe()
    assert here.architecture == platform.machine()
    assert here.cores == len(os.sched_getaffinity(0))
    assert here.memory_bytes == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert here.python.endswith(".".join(map(str, sys.version_info[:3])))
    assert here.packages["numpy"] == version("numpy")
    assert "ai-edge-litert" in here.packages
    assert here.load >= 0
    assert here.sgemm_gmacs is not None
    assert here.sgemm_gmacs > 0.05


def test_the_host_name_is_left_out() -> None:
    """Reports can be published: the host's name is nowhere in them."""
    assert platform.node() not in vars(machine.describe()).values()


def test_the_state() -> None:
    """Seconds are those since the start, load is not negative, and what is known is plausible."""
    start = time.monotonic() - 2
    now = machine.read_state(start)
    assert 2 <= now.seconds <= time.monotonic() - start + 0.1  # rounded to a tenth
    assert now.load >= 0
    assert now.mhz is None or 100 < now.mhz < 10_000
    assert now.celsius is None or 0 < now.celsius < 150
