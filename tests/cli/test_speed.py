"""Speeds at a glance, of real files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fmx_cli.speed import against_float
from fmx_export.pipeline.manifest import Manifest

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_training.data.dataset import Splits


@pytest.mark.usefixtures("quick_int8")
def test_int8_is_faster(exported: Path, few: Splits) -> None:
    """Each int8 file is faster than the float32 file of its format, which has no speed itself."""
    speeds = against_float(Manifest.read(exported).files, exported, few.test.images[:10])
    assert set(speeds) == {"baseline.int8.tflite", "baseline.int8.onnx"}
    assert min(speeds.values()) > 1.2


def test_without_a_float_file_there_is_nothing_to_say(exported: Path, few: Splits) -> None:
    """A file is compared with its own format's float32 file only."""
    files = [file for file in Manifest.read(exported).files if file.file != "baseline.float32.onnx"]
    assert set(against_float(files, exported, few.test.images[:10])) == {"baseline.int8.tflite"}
