"""Read the processor's name, instructions, clock and temperature from system files."""

from __future__ import annotations

import platform
import re
from pathlib import Path

__all__ = [
    "find_int8_instructions",
    "parse_throttling_flags",
    "processor_name",
    "read_clock_mhz",
    "read_system_file",
    "read_temperature_celsius",
]

_INT8_INSTRUCTIONS = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")
_ARM_CORES = {  # implementer and part of /proc/cpuinfo, from Arm's processor manuals (MIDR_EL1)
    "0x41:0xb76": "Arm1176",
    "0x41:0xc07": "Cortex-A7",
    "0x41:0xc08": "Cortex-A8",
    "0x41:0xd03": "Cortex-A53",
    "0x41:0xd05": "Cortex-A55",
    "0x41:0xd08": "Cortex-A72",
    "0x41:0xd0b": "Cortex-A76",
    "0x41:0xd0c": "Neoverse N1",
    "0x41:0xd40": "Neoverse V1",
    "0x41:0xd49": "Neoverse N2",
    "0x41:0xd4f": "Neoverse V2",
}
_THROTTLING_FLAGS = {  # https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
    0: "under-voltage",
    1: "clock capped",
    2: "throttled",
    3: "soft temperature limit",
    16: "under-voltage since the start",
    17: "clock capped since the start",
    18: "throttled since the start",
    19: "soft temperature limit since the start",
}
_ZONE_NAMES = ("cpu", "pkg", "soc", "acpitz")
_SENSOR_NAMES = {"coretemp", "k10temp", "zenpower", "cpu_thermal"}


def read_system_file(path: str | Path) -> str | None:
    """Return the text of a small system file; None if it cannot be read or is empty."""
    try:
        # device-tree strings end with a zero byte
        return Path(path).read_text("utf-8", errors="replace").strip("\0\n ") or None
    except OSError:
        return None


def processor_name(cpuinfo: str) -> str:
    """Return the processor's name.

    Args:
        cpuinfo: the text of ``/proc/cpuinfo``.

    Returns:
        The model name on x86, the kind of core on Arm; where neither is known, what Python's
        ``platform`` module says.
    """
    fields = _parse_cpuinfo(cpuinfo)
    arm_core = _ARM_CORES.get(f"{fields.get('CPU implementer')}:{fields.get('CPU part')}")
    return arm_core or fields.get("model name") or platform.processor() or platform.machine()


def find_int8_instructions(cpuinfo: str) -> tuple[str, ...]:
    """Return the names of the processor's int8 dot-product instructions.

    Args:
        cpuinfo: the text of ``/proc/cpuinfo``.
    """
    fields = _parse_cpuinfo(cpuinfo)
    features = f"{fields.get('flags', '')} {fields.get('Features', '')}".split()
    return tuple(name for name in _INT8_INSTRUCTIONS if name in features)


def parse_throttling_flags(text: str | None) -> tuple[str, ...] | None:
    """Return what a Raspberry Pi's ``get_throttled`` reports.

    Args:
        text: the hexadecimal flags, with or without ``0x``.

    Returns:
        The flags in words; None if the text is no number.
    """
    try:
        bits = int(text or "", 16)
    except ValueError:
        return None
    return tuple(words for bit, words in _THROTTLING_FLAGS.items() if bits >> bit & 1)


def read_clock_mhz() -> float | None:
    """Return the fastest core's clock; in virtual machines the nominal one. None if unknown."""
    scaled = [
        _parse_number(read_system_file(path), 1000)
        for path in Path("/sys/devices/system/cpu").glob("cpu*/cpufreq/scaling_cur_freq")
    ]
    cpuinfo = read_system_file("/proc/cpuinfo") or ""
    nominal = [
        _parse_number(text, 1) for text in re.findall(r"(?m)^cpu MHz\s*:\s*([\d.]+)", cpuinfo)
    ]
    known = [*filter(None, scaled)] or [*filter(None, nominal)]
    return max(known, default=None)


def read_temperature_celsius() -> float | None:
    """Return the temperature of the processor's hottest sensor; None if there is none."""
    temperatures = []
    for zone in Path("/sys/class/thermal").glob("thermal_zone*"):
        kind = read_system_file(zone / "type") or ""
        if any(name in kind for name in _ZONE_NAMES):
            temperatures.append(_parse_number(read_system_file(zone / "temp"), 1000))
    for sensor in Path("/sys/class/hwmon").glob("hwmon*"):
        if read_system_file(sensor / "name") in _SENSOR_NAMES:
            temperatures += [
                _parse_number(read_system_file(path), 1000) for path in sensor.glob("temp*_input")
            ]
    return max(filter(None, temperatures), default=None)


def _parse_cpuinfo(cpuinfo: str) -> dict[str, str]:
    """Return the first value of each key."""
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return fields


def _parse_number(text: str | None, unit: float) -> float | None:
    try:
        return float(text or "") / unit
    except ValueError:
        return None
