"""What a report says of the machine."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version

from fmx_benchmarks import machine


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


def test_the_machine_is_not_named() -> None:
    """Reports can be published: the host's name is nowhere in them."""
    assert platform.node() not in vars(machine.describe()).values()


def test_processor_names() -> None:
    """The name comes from x86 and Arm kernels' lines, and from Python where there is none."""
    assert machine._processor("model name\t: AMD EPYC 7B13\nmodel name\t: other") == "AMD EPYC 7B13"
    assert machine._processor("processor\t: 0\nBogoMIPS\t: 108.00\n") == (
        platform.processor() or platform.machine()
    )
