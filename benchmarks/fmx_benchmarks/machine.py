"""What the measurements were taken on."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from fmx_runtime import packages

__all__ = ["Machine", "describe"]

_BOARD = Path("/proc/device-tree/model")
_CPUINFO = Path("/proc/cpuinfo")
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")

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


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One computer at one moment; it has no name, so that reports can be published.

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


def describe() -> Machine:
    """Describe this computer as it is now."""
    import psutil

    return Machine(
        processor=_processor(_read(_CPUINFO) or ""),
        architecture=platform.machine(),
        cores=_cores(),
        memory_bytes=int(psutil.virtual_memory().total),
        board=_read(_BOARD),
        governor=_read(_GOVERNOR),
        load=round(psutil.getloadavg()[0], 2),
        system=f"{_distribution()}, {platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        packages=packages.versions(*_PACKAGES),
    )


def _read(path: Path) -> str | None:
    """A small system file's text, None where there is none."""
    try:
        # device-tree strings end with a zero byte
        return path.read_text("utf-8", errors="replace").strip("\0\n ") or None
    except OSError:
        return None


def _processor(cpuinfo: str) -> str:
    """The first 'model name', which x86 and newer Arm kernels give, or the next best thing."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return value.strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.platform(terse=True)
