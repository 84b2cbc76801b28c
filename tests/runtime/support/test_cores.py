from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fmx_runtime.support.cores import last_core, usable_cores

BOUND = """
import os, sys
os.sched_setaffinity(0, {int(core) for core in sys.argv[1:]})
from fmx_runtime.support.cores import last_core, usable_cores
print(usable_cores(), last_core())
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be bound here")
def test_cores_of_a_bound_process() -> None:
    """Only cores that the process may use count, not all of the machine's."""
    cores = sorted(os.sched_getaffinity(0))
    for bound in (cores, cores[:1], cores[-1:]):
        command = [sys.executable, "-c", BOUND, *map(str, bound)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.split() == [str(len(bound)), str(max(bound))]


def test_where_processes_cannot_be_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """On other systems all cores count, and there is no core to bind to."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert (usable_cores(), last_core()) == (3, None)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1
