from __future__ import annotations

import functools
import http.server
import io
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from fmx_runtime import Classifier
from fmx_runtime.errors import ImageError
from fmx_runtime.sources.camera import frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fmx_training.data.dataset import Splits

FRAMES = 24


@pytest.fixture(scope="module")
def cv2() -> Any:
    """Return OpenCV; skip the test if it is not installed."""
    return pytest.importorskip("cv2")


@pytest.fixture(scope="module")
def video(cv2: Any, splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real video file: each frame is a test image, enlarged, in red light."""
    path = tmp_path_factory.mktemp("video") / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (280, 280))
    assert writer.isOpened()
    for image in splits.test.images[:FRAMES, :, :, 0]:
        large = np.asarray(Image.fromarray(image).resize((280, 280)))
        writer.write(np.stack([large // 8, large // 2, large], axis=-1))  # blue, green, red
    writer.release()
    return path


@contextmanager
def served(handler: Callable[..., http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """Run a web server on this machine and yield its URL."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class NetworkCamera(http.server.BaseHTTPRequestHandler):
    """A network camera that sends 60 JPEG images, 20 per second, each lighter than the last."""

    shown = 0  # the last one that was sent

    def do_GET(self) -> None:
        """Send the images."""
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for number in range(60):
            jpeg = io.BytesIO()
            Image.new("RGB", (64, 64), (4 * number,) * 3).save(jpeg, "JPEG")
            size = b"Content-Length: %d\r\n" % len(jpeg.getvalue())
            self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\n" + size + b"\r\n")
            self.wfile.write(jpeg.getvalue() + b"\r\n")
            NetworkCamera.shown = number
            time.sleep(0.05)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class FileServer(http.server.SimpleHTTPRequestHandler):
    """A server of the files in a folder."""

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def network_camera(cv2: Any) -> Iterator[str]:
    """Return the URL of a network camera."""
    del cv2
    with served(NetworkCamera) as url:
        yield f"{url}/live"


def test_every_frame_of_a_video(video: Path, exported: Path, splits: Splits) -> None:
    """All frames of a video come in order, in RGB, and are classified."""
    images = list(frames(str(video)))
    assert len(images) == FRAMES
    assert {(frame.shape, frame.dtype.name) for frame in images} == {((280, 280, 3), "uint8")}
    for frame, original in zip(images, splits.test.images, strict=False):
        enlarged = np.asarray(Image.fromarray(original[:, :, 0]).resize((280, 280)))
        red, _, blue = (frame[:, :, channel].astype(int) for channel in range(3))
        assert abs(red - enlarged).mean() < 8
        assert blue.mean() < red.mean() / 2
    classifier = Classifier(exported / "baseline.int8.tflite")
    right = sum(
        classifier.classify(frame, 1)[0].label == splits.test.class_names[label]
        for frame, label in zip(images, splits.test.labels, strict=False)
    )
    assert right >= FRAMES // 2


def test_video_from_a_url(video: Path) -> None:
    """Every frame of a video comes, also from a URL."""
    with served(functools.partial(FileServer, directory=str(video.parent))) as url:
        assert len(list(frames(f"{url}/{video.name}"))) == FRAMES


def test_newest_frame_of_a_camera(network_camera: str) -> None:
    """After a slow prediction comes the newest frame; a camera that stops is an error."""
    stream = frames(network_camera)
    before = -1
    for _ in range(4):
        level = int(next(stream).mean()) // 4
        assert level > before
        assert NetworkCamera.shown - level <= 12  # the time in which it is sent and decoded
        before = level
        time.sleep(0.4)
    assert before >= 3 * 6
    with pytest.raises(
        ImageError, match=r"live' sends no more frames: check that it is still connected"
    ):
        list(stream)


def test_threads_end_with_the_stream(network_camera: str) -> None:
    """Closing the stream ends the thread that reads the camera."""
    stream = frames(network_camera)
    next(stream)
    assert "read" in {thread.name.partition("(")[2][:4] for thread in threading.enumerate()}
    stream.close()  # type: ignore[attr-defined]
    assert "read" not in {thread.name.partition("(")[2][:4] for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("text.avi", "text.avi' cannot be opened: it is not a video that OpenCV can read"),
        ("empty.avi", "empty.avi' has no readable frame: copy it again"),
        ("gone.avi", "gone.avi' is neither a camera nor an existing video: check the path"),
        ("/dev/null", "'/dev/null' cannot be opened: check that it is connected, not in use"),
        ("http://me:secret@127.0.0.1:9/x", "'http://127.0.0.1:9/x' cannot be opened"),
        ("97", "camera 97 cannot be opened: check that it is connected, not in use"),
        ("99999999999", "camera 99999999999 cannot be opened"),
    ],
)
def test_sources_that_cannot_be_opened(cv2: Any, tmp_path: Path, source: str, message: str) -> None:
    """A source that cannot be opened is one line that names it, and OpenCV prints nothing."""
    (tmp_path / "text.avi").write_text("no video")
    nothing = cv2.VideoWriter(
        str(tmp_path / "empty.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 64)
    )
    nothing.release()
    code = f"from fmx_runtime.sources.camera import frames; next(frames({source!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    first, *_, last = done.stderr.splitlines()
    assert first.startswith("Traceback")
    assert last.startswith("fmx_runtime.errors.ImageError: ")
    assert message in last
    assert "secret" not in last


def test_without_opencv(bare_python: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """If the extra is not installed, the message says how to install it."""
    code = """
from fmx_runtime.sources.camera import frames
from fmx_runtime.errors import BackendError
try:
    next(frames("0"))
except BackendError as error:
    print(error)
"""
    assert "pip install 'fmx-runtime[camera]'" in bare_python(code).stdout
