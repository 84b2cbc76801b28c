"""Which interpreter to install on a machine, and how."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass

__all__ = ["Platform", "install_hint"]

_LAST_PYTHON_OF_TFLITE_RUNTIME = (3, 11)
"""tflite-runtime has no wheels for newer versions."""

_BITS_32 = 32


@dataclass(frozen=True)
class Platform:
    """A machine and its Python, which decide which wheels pip finds."""

    processor: str
    """As ``uname -m`` names it. A 32-bit system may run on a 64-bit kernel, which names itself."""
    bits: int
    python: tuple[int, int]

    @classmethod
    def here(cls) -> Platform:
        """Return the platform that this runs on."""
        bits = 64 if sys.maxsize > 2**32 else 32
        return cls(platform.machine(), bits, (sys.version_info[0], sys.version_info[1]))

    def __str__(self) -> str:
        """Return for example ``aarch64, 64-bit Python 3.11``."""
        return f"{self.processor}, {self.bits}-bit Python {self.python[0]}.{self.python[1]}"


def install_hint(interpreter: str, target: Platform) -> str:
    """Return the command that installs an interpreter, or one that runs the same models.

    PyPI has wheels of ai-edge-litert and onnxruntime for 64-bit systems only, and wheels of
    tflite-runtime up to Python 3.11.

    Args:
        interpreter: its name for pip.
        target: where it is to be installed.
    """
    has_tflite_runtime = target.python <= _LAST_PYTHON_OF_TFLITE_RUNTIME
    if target.bits == _BITS_32 and interpreter == "onnxruntime":
        return "there are no wheels of it for 32-bit systems: export the model as TFLite"
    if target.bits == _BITS_32 and not has_tflite_runtime:
        return (
            "there are no wheels of one for 32-bit systems with Python 3.12 or newer: "
            "use a 64-bit system, or one with Python 3.11"
        )
    if target.bits == _BITS_32 or (interpreter == "tflite-runtime" and has_tflite_runtime):
        return "install one with 'pip install \"numpy<2\" tflite-runtime'"
    wheel = "ai-edge-litert" if interpreter == "tflite-runtime" else interpreter
    return f"install one with 'pip install {wheel}'"
