"""What the measurements were taken on, and the state that it was in meanwhile."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from fmx_runtime.bench.process import environment
from fmx_runtime.support import packages

__all__ = ["Machine", "MachineState", "describe", "moment", "usable_cores"]

_PACKAGES = (
    "fmx-toolkit",
    "fmx-runtime",
    "numpy",
    "pillow",
    "ai-edge-litert",
    "tflite-runtime",
    "onnxruntime",
    "tensorflow",
    "tensorflow-cpu",
    "keras",
)
_INT8 = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")
_CORES = {  # implementer and part of /proc/cpuinfo, from Arm's processor manuals (MIDR_EL1)
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
_THROTTLED = {  # https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
    0: "under-voltage",
    1: "clock capped",
    2: "throttled",
    3: "soft temperature limit",
    16: "under-voltage since the start",
    17: "clock capped since the start",
    18: "throttled since the start",
    19: "soft temperature limit since the start",
}
_SGEMM = """
import time
import numpy as np
best = 0.0
for size in (128, 256, 512):
    a = np.ones((size, size), np.float32)
    a @ a
    end = time.perf_counter() + 0.1
    while time.perf_counter() < end:
        start = time.perf_counter()
        a @ a
        best = max(best, size**3 / (time.perf_counter() - start))
print(best / 1e9)
"""
_SGEMM_PATIENCE_S = 30


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One computer; it has no name, so that reports can be published.

    Attributes:
        processor: the processor's name as the system gives it.
        architecture: for example ``x86_64`` or ``aarch64``.
        cores: logical ones that this process may use.
        memory_bytes: installed.
        board: for example ``Raspberry Pi 5 Model B Rev 1.0``; None where the system does not say.
        governor: of the clock frequency; None where the system does not say.
        load: processes that were running or waiting to run when the measurement began, averaged
            over one minute.
        system: operating system and kernel.
        python: implementation and version.
        packages: name -> version of those that take part and are installed.
        sgemm_gmacs: billions of float32 multiply-accumulates a second in the fastest product of two
            matrices that NumPy does on one core; None where it cannot be measured.
        int8_instructions: those that the processor has for products of int8.
    """

    processor: str
    architecture: str
    cores: int
    memory_bytes: int
    board: str | None
    governor: str | None
    load: float
    system: str
    python: str
    packages: dict[str, str]
    sgemm_gmacs: float | None
    int8_instructions: tuple[str, ...]

    @property
    def int8_factor(self) -> int:
        """How many int8 multiply-accumulates there are for one of float32, at most.

        Instructions such as VPDPBUSD (Intel: Deep Learning Boost) and SDOT (Arm: Armv8.2-A dot
        product) do four for each 32-bit lane, where a fused multiply-add does one; without them two
        16-bit products fit into a lane.
        """
        return 4 if self.int8_instructions else 2


@dataclass(frozen=True, kw_only=True)
class MachineState:
    """The machine's state at one moment; None stands for what the system does not say.

    Attributes:
        seconds: since the run began.
        load: processes that run or wait to run, averaged over one minute.
        mhz: the fastest core's clock; in virtual machines the nominal one.
        celsius: the hottest of the processor's sensors.
        throttled: what a Raspberry Pi says that it suffers, or has suffered, from.
    """

    seconds: float
    load: float
    mhz: float | None
    celsius: float | None
    throttled: tuple[str, ...] | None


def describe(core: int | None = None) -> Machine:
    """Describe this computer as it is now; takes half a second.

    Args:
        core: the processor core that measuring processes are bound to.
    """
    cpuinfo = _read("/proc/cpuinfo") or ""
    return Machine(
        processor=_processor(cpuinfo),
        architecture=platform.machine(),
        cores=usable_cores(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        board=_read("/proc/device-tree/model"),
        governor=_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        load=round(os.getloadavg()[0], 2),
        system=f"{_distribution()}, {platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        packages=packages.versions(*_PACKAGES),
        sgemm_gmacs=_sgemm_gmacs(core),
        int8_instructions=_int8_instructions(cpuinfo),
    )


def moment(began: float) -> MachineState:
    """The state now.

    Args:
        began: when the run did, by `time.monotonic`.
    """
    return MachineState(
        seconds=round(time.monotonic() - began, 1),
        load=round(os.getloadavg()[0], 2),
        mhz=_mhz(),
        celsius=_celsius(),
        throttled=_throttled(_read("/sys/devices/platform/soc/soc:firmware/get_throttled")),
    )


def _read(path: str | Path) -> str | None:
    """A small system file's text, None where there is none."""
    try:
        # device-tree strings end with a zero byte
        return Path(path).read_text("utf-8", errors="replace").strip("\0\n ") or None
    except OSError:
        return None


def _fields(cpuinfo: str) -> dict[str, str]:
    """Each key of the file, with its first value."""
    found: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    return found


def _processor(cpuinfo: str) -> str:
    """The name that x86 gives, or the kind of core that Arm does, or the next best thing."""
    fields = _fields(cpuinfo)
    core = _CORES.get(f"{fields.get('CPU implementer')}:{fields.get('CPU part')}")
    return core or fields.get("model name") or platform.processor() or platform.machine()


def _int8_instructions(cpuinfo: str) -> tuple[str, ...]:
    fields = _fields(cpuinfo)
    words = f"{fields.get('flags', '')} {fields.get('Features', '')}".split()
    return tuple(name for name in _INT8 if name in words)


def usable_cores() -> int:
    """Logical ones that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.platform(terse=True)


def _mhz() -> float | None:
    scaled = (
        _number(_read(path), 1000)
        for path in Path("/sys/devices/system/cpu").glob("cpu*/cpufreq/scaling_cur_freq")
    )
    nominal = re.findall(r"(?m)^cpu MHz\s*:\s*([\d.]+)", _read("/proc/cpuinfo") or "")
    found = [*filter(None, scaled)] or [float(text) for text in nominal if text.count(".") < 2]  # noqa: PLR2004
    return max(found, default=None)


def _celsius() -> float | None:
    found = []
    for zone in Path("/sys/class/thermal").glob("thermal_zone*"):
        kind = _read(zone / "type") or ""
        if any(word in kind for word in ("cpu", "pkg", "soc", "acpitz")):
            found.append(_number(_read(zone / "temp"), 1000))
    for sensor in Path("/sys/class/hwmon").glob("hwmon*"):
        if _read(sensor / "name") in {"coretemp", "k10temp", "zenpower", "cpu_thermal"}:
            found += [_number(_read(path), 1000) for path in sensor.glob("temp*_input")]
    return max(filter(None, found), default=None)


def _throttled(text: str | None) -> tuple[str, ...] | None:
    """What the bits of a Raspberry Pi's ``get_throttled`` say, hexadecimal with or without 0x."""
    try:
        bits = int(text or "", 16)
    except ValueError:
        return None
    return tuple(words for bit, words in _THROTTLED.items() if bits >> bit & 1)


def _number(text: str | None, unit: float) -> float | None:
    try:
        return float(text or "") / unit
    except ValueError:
        return None


def _sgemm_gmacs(core: int | None) -> float | None:
    """In a process of its own: NumPy takes the number of threads when it is imported."""
    bind = "" if core is None else f"import os; os.sched_setaffinity(0, {{{core}}})\n"
    try:
        done = subprocess.run(
            [sys.executable, "-c", bind + _SGEMM],
            capture_output=True,
            check=True,
            timeout=_SGEMM_PATIENCE_S,
            env=environment(1),
        )
        return round(float(done.stdout), 2)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
