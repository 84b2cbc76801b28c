"""The machine that a benchmark runs on, and its state during the benchmark."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass

from fmx_runtime.bench import processor
from fmx_runtime.bench.process import worker_environment
from fmx_runtime.support import packages
from fmx_runtime.support.cores import usable_cores

__all__ = ["Machine", "MachineState", "describe", "read_state"]

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
_SGEMM_SCRIPT = """
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
_SGEMM_TIMEOUT_S = 30


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A computer, described without its host name, so that reports can be published.

    Attributes:
        processor: the processor's name as the system gives it.
        architecture: for example ``x86_64`` or ``aarch64``.
        cores: logical cores that this process may use.
        memory_bytes: installed memory.
        board: for example ``Raspberry Pi 5 Model B Rev 1.0``; None if unknown.
        governor: the clock frequency's governor; None if unknown.
        load: processes that were running or waiting to run when the benchmark started, averaged
            over one minute.
        system: operating system and kernel.
        python: implementation and version.
        packages: name -> version of the relevant packages that are installed.
        sgemm_gmacs: billions of float32 multiply-accumulates per second in NumPy's fastest matrix
            product on one core; None if it could not be measured.
        int8_instructions: the processor's int8 dot-product instructions.
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
        """The most int8 multiply-accumulates per float32 multiply-accumulate.

        Instructions such as VPDPBUSD (Intel: Deep Learning Boost) and SDOT (Arm: Armv8.2-A dot
        product) do four for each 32-bit lane, where a fused multiply-add does one. Without them,
        two 16-bit products fit into a lane.
        """
        return 4 if self.int8_instructions else 2


@dataclass(frozen=True, kw_only=True)
class MachineState:
    """The machine's state at one point of a run; None stands for unknown values.

    Attributes:
        seconds: since the run started.
        load: processes that run or wait to run, averaged over one minute.
        mhz: the fastest core's clock; in virtual machines the nominal one.
        celsius: the temperature of the processor's hottest sensor.
        throttled: the throttling flags that a Raspberry Pi reports.
    """

    seconds: float
    load: float
    mhz: float | None
    celsius: float | None
    throttled: tuple[str, ...] | None


def describe(core: int | None = None) -> Machine:
    """Describe this computer as it is now; takes half a second.

    Args:
        core: the processor core that worker processes are bound to; None for all.
    """
    cpuinfo = processor.read_system_file("/proc/cpuinfo") or ""
    return Machine(
        processor=processor.processor_name(cpuinfo),
        architecture=platform.machine(),
        cores=usable_cores(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        board=processor.read_system_file("/proc/device-tree/model"),
        governor=processor.read_system_file(
            "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
        ),
        load=round(os.getloadavg()[0], 2),
        system=f"{_distribution()}, {platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        packages=packages.versions(*_PACKAGES),
        sgemm_gmacs=_measure_sgemm_gmacs(core),
        int8_instructions=processor.find_int8_instructions(cpuinfo),
    )


def read_state(start: float) -> MachineState:
    """Read the machine's state now.

    Args:
        start: when the run started, by `time.monotonic`.
    """
    throttled = processor.read_system_file("/sys/devices/platform/soc/soc:firmware/get_throttled")
    return MachineState(
        seconds=round(time.monotonic() - start, 1),
        load=round(os.getloadavg()[0], 2),
        mhz=processor.read_clock_mhz(),
        celsius=processor.read_temperature_celsius(),
        throttled=processor.parse_throttling_flags(throttled),
    )


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.platform(terse=True)


def _measure_sgemm_gmacs(core: int | None) -> float | None:
    """Time matrix products in a separate process: NumPy sets its threads when imported."""
    bind = "" if core is None else f"import os; os.sched_setaffinity(0, {{{core}}})\n"
    try:
        done = subprocess.run(
            [sys.executable, "-c", bind + _SGEMM_SCRIPT],
            capture_output=True,
            check=True,
            timeout=_SGEMM_TIMEOUT_S,
            env=worker_environment(1),
        )
        return round(float(done.stdout), 2)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
