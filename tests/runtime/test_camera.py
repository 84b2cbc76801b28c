from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from fmx_runtime import Classifier, camera
from fmx_runtime.camera import frames
from fmx_runtime.errors import PictureError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from fmx_training.dataset import Splits

FRAMES = 24


@pytest.fixture(scope="module")
def cv2() -> Any:
    """OpenCV, where it is installed."""
    return pytest.importorskip("cv2")


@pytest.fixture(scope="module")
def film(cv2: Any, splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real video file: each frame is a test picture, enlarged, in red light."""
    path = tmp_path_factory.mktemp("film") / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (280, 280))
    assert writer.isOpened()
    for picture in splits.test.images[:FRAMES, :, :, 0]:
        large = np.asarray(Image.fromarray(picture).resize((280, 280)))
        writer.write(np.stack([large // 8, large // 2, large], axis=-1))  # blue, green, red
    writer.release()
    return path


def test_every_frame_of_a_film(film: Path, exported: Path, splits: Splits) -> None:
    """All frames come in order, red first among the colours, and the classifier knows them."""
    pictures = list(frames(str(film)))
    assert len(pictures) == FRAMES
    assert {(frame.shape, frame.dtype.name) for frame in pictures} == {((280, 280, 3), "uint8")}
    for frame, original in zip(pictures, splits.test.images, strict=False):
        enlarged = np.asarray(Image.fromarray(original[:, :, 0]).resize((280, 280)))
        red, _, blue = (frame[:, :, channel].astype(int) for channel in range(3))
        assert abs(red - enlarged).mean() < 8
        assert blue.mean() < red.mean() / 2
    classifier = Classifier(exported / "baseline.int8.tflite")
    right = sum(
        classifier.classify(frame, 1)[0].label == splits.test.class_names[label]
        for frame, label in zip(pictures, splits.test.labels, strict=False)
    )
    assert right >= FRAMES // 2


def test_a_camera_shows_the_present(film: Path) -> None:
    """While an answer takes its time, frames are passed over; a camera that ends is named."""
    stream = camera._live(str(film))  # type: ignore[arg-type]  # a film stands for a camera
    assert next(stream).shape == (280, 280, 3)
    time.sleep(0.5)  # by now the film is over
    with pytest.raises(PictureError, match="gives no more pictures: is it plugged in"):
        next(stream)


def test_threads_end_with_the_stream(film: Path) -> None:
    """Whoever stops listening to a camera leaves no thread behind."""
    before = threading.active_count()
    stream = camera._live(str(film))  # type: ignore[arg-type]
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_what_is_no_film(cv2: Any, tmp_path: Path) -> None:
    """A file that is none, one that is not there, and a camera that is not there, are named."""
    del cv2
    (tmp_path / "text.avi").write_text("no film")
    with pytest.raises(PictureError, match=r"text\.avi' cannot be opened"):
        next(frames(str(tmp_path / "text.avi")))
    with pytest.raises(PictureError, match=r"gone\.avi' is neither a camera's number nor a film"):
        next(frames(str(tmp_path / "gone.avi")))
    with pytest.raises(PictureError, match="camera 97 cannot be opened"):
        next(frames("97"))


def test_without_opencv(bare_python: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Where the extra is not installed, the line says how to install it."""
    code = """
from fmx_runtime.camera import frames
from fmx_runtime.errors import BackendError
try:
    next(frames("0"))
except BackendError as error:
    print(error)
"""
    assert "pip install 'fmx-runtime[camera]'" in bare_python(code).stdout
