from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fmx_runtime.model_file.default_model import SHIPPED, default_model

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_order_of_preference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """$FMX_MODEL, else the newest int8 TFLite file here or in exports/*/, else the shipped one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FMX_MODEL", "")
    assert default_model() == SHIPPED
    (tmp_path / "folder.int8.tflite").mkdir()
    (tmp_path / "broken.int8.tflite").symlink_to("gone")
    names = ["a.int8.tflite", "exports/one/b.int8.tflite", "exports/two/c.int8.tflite"]
    for moment, name in enumerate([*names, *reversed(names)], 1_000_000_000):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (moment, moment))
        assert default_model() == name
    monkeypatch.setenv("FMX_MODEL", "mine.onnx")
    assert default_model() == "mine.onnx"
