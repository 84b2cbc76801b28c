from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fmx_runtime.backends.base import available_backends, detect_format

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"]


@pytest.mark.parametrize("name", NAMES)
def test_exported_files_are_detected(name: str, exported: Path) -> None:
    """An exported file's first bytes show its format."""
    assert detect_format((exported / f"baseline.{name}").read_bytes()) == name.partition(".")[2]


@pytest.mark.parametrize(
    "content", [b"", b"T", b"text\n", b"PK\x03\x04", b"TFL3", b"\x00" * 8, b"\x89PNG\r\n\x1a\n"]
)
def test_other_files_are_not_models(content: bytes) -> None:
    """The first bytes of other files are not taken for a model's."""
    assert detect_format(content) is None


def test_available_backends() -> None:
    """The interpreters of the development environment are found, for one format or for all."""
    assert available_backends() == ("ai-edge-litert", "onnxruntime")
    assert available_backends("tflite") == ("ai-edge-litert",)
    assert available_backends("onnx") == ("onnxruntime",)
