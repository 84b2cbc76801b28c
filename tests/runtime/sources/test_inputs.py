from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_runtime.errors import ImageError
from fmx_runtime.sources.inputs import InputImage, from_camera, from_paths

if TYPE_CHECKING:
    from pathlib import Path


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, folders and patterns, in the order given and as often as given, errors among them."""
    monkeypatch.chdir(tmp_path)
    for name in ("shop/b.png", "shop/a.png", "c.png", "empty/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    inputs = list(from_paths(["c.png", "empty", "shop", "c.png", "sho?/b*", "gone.png"]))
    assert [one.path for one in inputs] == [
        "c.png", "empty", "shop/a.png", "shop/b.png", "c.png", "shop/b.png", "gone.png"
    ]  # fmt: skip
    assert [isinstance(one.image, ImageError) for one in inputs] == [
        one.path == "empty" for one in inputs
    ]


def test_camera(tmp_path: Path) -> None:
    """Frames are numbered from 0, and have the path of the video."""
    cv2 = pytest.importorskip("cv2")
    path = str(tmp_path / "video.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"FFV1"), 5, (64, 32), True)
    for level in (0, 100, 200):
        writer.write(np.full((32, 64, 3), level, np.uint8))
    writer.release()
    inputs = list(from_camera(path))
    assert [(one.path, one.frame) for one in inputs] == [(f"camera:{path}", n) for n in range(3)]
    for one, level in zip(inputs, (0, 100, 200), strict=True):
        assert isinstance(one, InputImage)
        assert isinstance(one.image, np.ndarray)
        assert one.image.shape == (32, 64, 3)
        assert abs(int(one.image.mean()) - level) <= 2
