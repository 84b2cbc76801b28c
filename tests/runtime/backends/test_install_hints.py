from __future__ import annotations

import platform
import sys

import pytest

from fmx_runtime.backends.install_hints import Platform, install_hint

OLD = "'pip install \"numpy<2\" tflite-runtime'"


@pytest.mark.parametrize(
    ("interpreter", "processor", "bits", "python", "expected"),
    [
        ("ai-edge-litert", "x86_64", 64, (3, 13), "'pip install ai-edge-litert'"),
        ("ai-edge-litert", "aarch64", 64, (3, 10), "'pip install ai-edge-litert'"),
        ("ai-edge-litert", "armv7l", 32, (3, 11), OLD),
        # 32-bit Raspberry Pi OS on its 64-bit kernel
        ("ai-edge-litert", "aarch64", 32, (3, 11), OLD),
        ("ai-edge-litert", "armv7l", 32, (3, 13), "one with Python 3.11"),
        ("tflite-runtime", "aarch64", 64, (3, 11), OLD),
        ("tflite-runtime", "aarch64", 64, (3, 12), "'pip install ai-edge-litert'"),
        ("onnxruntime", "aarch64", 64, (3, 12), "'pip install onnxruntime'"),
        ("onnxruntime", "armv7l", 32, (3, 11), "export the model as TFLite"),
    ],
)
def test_the_hint_fits_the_machine(
    interpreter: str,
    processor: str,
    bits: int,
    python: tuple[int, int],
    expected: str,
) -> None:
    """No hint names an interpreter that has no wheel for the machine."""
    assert install_hint(interpreter, Platform(processor, bits, python)).endswith(expected)


def test_this_machine() -> None:
    """The description has what decides which wheels there are."""
    python = ".".join(map(str, sys.version_info[:2]))
    bits = platform.architecture()[0].removesuffix("bit")
    assert str(Platform.here()) == f"{platform.machine()}, {bits}-bit Python {python}"
