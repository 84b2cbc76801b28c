"""What to install on this machine, so that a model can be run."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass

__all__ = ["Machine", "install_hint"]

_LAST_OF_TFLITE_RUNTIME = (3, 11)  # newer versions of Python have no wheels of it


@dataclass(frozen=True)
class Machine:
    """What decides which wheels there are."""

    processor: str
    """As ``uname -m`` names it; 32-bit systems may run on a 64-bit kernel, which names itself."""
    bits: int
    python: tuple[int, int]

    @classmethod
    def here(cls) -> Machine:
        """The machine and the Python that run this."""
        bits = 64 if sys.maxsize > 2**32 else 32
        return cls(platform.machine(), bits, (sys.version_info[0], sys.version_info[1]))

    def __str__(self) -> str:
        """For example ``aarch64, 64-bit Python 3.11``."""
        return f"{self.processor}, {self.bits}-bit Python {self.python[0]}.{self.python[1]}"


def install_hint(interpreter: str, machine: Machine) -> str:
    """The command that installs an interpreter, or another one that does its work there.

    By the wheels that PyPI has: only 64-bit systems have ai-edge-litert and onnxruntime, and
    tflite-runtime ends with Python 3.11.

    Args:
        interpreter: its name for pip.
        machine: where it is to be installed.
    """
    old_enough = machine.python <= _LAST_OF_TFLITE_RUNTIME
    if machine.bits == 32 and interpreter == "onnxruntime":  # noqa: PLR2004
        return "there are no wheels of it for 32-bit systems: export the model as TFLite"
    if machine.bits == 32 and not old_enough:  # noqa: PLR2004
        return (
            "there are no wheels of one for 32-bit systems with Python 3.12 or newer: "
            "use a 64-bit system, or one with Python 3.11"
        )
    if machine.bits == 32 or (interpreter == "tflite-runtime" and old_enough):  # noqa: PLR2004
        return "install one with 'pip install \"numpy<2\" tflite-runtime'"
    wheel = "ai-edge-litert" if interpreter == "tflite-runtime" else interpreter
    return f"install one with 'pip install {wheel}'"
