"""What a report says of the machine."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib.metadata import version

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_the_machine_is_not_named() -> None:
    """Reports can be published: the host's name is nowhere in them."""
    assert platform.node() not in vars(machine.describe()).values()


PI_4 = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
"""
PI_5 = PI_4.replace("0xd08", "0xd0b").replace("crc32", "crc32 asimdrdm asimddp")


def test_processors() -> None:
    """Names and int8 instructions come from x86 and Arm kernels' lines, else from Python."""
    assert machine._processor("model name\t: AMD EPYC 7B13\nmodel name\t: other") == "AMD EPYC 7B13"
    assert machine._processor(PI_4) == "Cortex-A72"
    assert machine._processor(PI_5) == "Cortex-A76"
    assert machine._processor("rubbish") == platform.processor() or platform.machine()
    assert machine._int8_instructions(PI_4) == ()
    assert machine._int8_instructions(PI_5) == ("asimddp",)
    assert machine._int8_instructions("flags : fpu avx512_vnni") == ("avx512_vnni",)


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("0", ()),
        ("50005", ("under-voltage", "throttled", "under-voltage since the start",
                   "throttled since the start")),
        ("0x80000", ("soft temperature limit since the start",)),
        (None, None),
        ("what", None),
    ],
)  # fmt: skip
def test_throttling_flags(text: str | None, flags: tuple[str, ...] | None) -> None:
    """The bits of a Raspberry Pi's flags are told in words; what is unreadable is not known."""
    assert machine._throttled(text) == flags


@given(st.text())
def test_rubbish_is_no_error(text: str) -> None:
    """Whatever the system's files say, nothing is raised."""
    machine._processor(text)
    machine._int8_instructions(text)
    machine._throttled(text)
    machine._number(text, 1000)


def test_a_moment() -> None:
    """Time goes on, load is not negative, and what is known is plausible."""
    now = machine.moment(time.monotonic() - 2)
    assert 2 <= now.seconds < 60
    assert now.load >= 0
    assert now.mhz is None or 100 < now.mhz < 10_000
    assert now.celsius is None or 0 < now.celsius < 150
