"""What the system's files say about processors."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmx_runtime.bench import processor

if TYPE_CHECKING:
    from pathlib import Path

PI_4 = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
"""
PI_5 = PI_4.replace("0xd08", "0xd0b").replace("crc32", "crc32 asimdrdm asimddp")


def test_names() -> None:
    """Names come from the lines of x86 and Arm kernels, else from Python."""
    x86 = "model name\t: AMD EPYC 7B13\nmodel name\t: other"
    assert processor.processor_name(x86) == "AMD EPYC 7B13"
    assert processor.processor_name(PI_4) == "Cortex-A72"
    assert processor.processor_name(PI_5) == "Cortex-A76"
    expected = platform.processor() or platform.machine()
    assert processor.processor_name("rubbish") == expected


def test_int8_instructions() -> None:
    """They are found among the flags of x86 and the features of Arm."""
    assert processor.find_int8_instructions(PI_4) == ()
    assert processor.find_int8_instructions(PI_5) == ("asimddp",)
    assert processor.find_int8_instructions("flags : fpu avx512_vnni") == ("avx512_vnni",)


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
    """The bits of a Raspberry Pi's flags become words; what cannot be read is unknown."""
    assert processor.parse_throttling_flags(text) == flags


@given(st.text())
def test_any_text_is_accepted(text: str) -> None:
    """Whatever the system's files contain, nothing is raised."""
    processor.processor_name(text)
    processor.find_int8_instructions(text)
    processor.parse_throttling_flags(text)
    processor._parse_number(text, 1000)


def test_system_files(tmp_path: Path) -> None:
    """Zero bytes and line ends are stripped; a missing or empty file is None."""
    path = tmp_path / "model"
    path.write_bytes(b"Raspberry Pi 5\0")
    assert processor.read_system_file(path) == "Raspberry Pi 5"
    path.write_bytes(b"\n")
    assert processor.read_system_file(path) is None
    assert processor.read_system_file(tmp_path / "missing") is None
