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
    """OpenCV, where it is installed."""
    return pytest.importorskip("cv2")


@pytest.fixture(scope="module")
def film(cv2: Any, splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real video file: each frame is a test image, enlarged, in red light."""
    path = tmp_path_factory.mktemp("film") / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (280, 280))
    assert writer.isOpened()
    for image in splits.test.images[:FRAMES, :, :, 0]:
        large = np.asarray(Image.fromarray(image).resize((280, 280)))
        writer.write(np.stack([large // 8, large // 2, large], axis=-1))  # blue, green, red
    writer.release()
    return path


@contextmanager
def served(handler: Callable[..., http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """A web server on this machine."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class NetworkCamera(http.server.BaseHTTPRequestHandler):
    """One as many are: JPEG images one after the other, 20 a second, ever lighter, 60 in all."""

    shown = 0  # the last one that was sent

    def do_GET(self) -> None:
        """Show what is asked for."""
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
        """Nothing."""


class Files(http.server.SimpleHTTPRequestHandler):
    """Files of a folder."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def network_camera(cv2: Any) -> Iterator[str]:
    """Its URL."""
    del cv2
    with served(NetworkCamera) as url:
        yield f"{url}/live"


def test_every_frame_of_a_film(film: Path, exported: Path, splits: Splits) -> None:
    """All frames come in order, red first among the colours, and the classifier knows them."""
    images = list(frames(str(film)))
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


def test_a_film_from_the_network(film: Path) -> None:
    """Of a film every frame comes, also where it is named by its URL."""
    with served(functools.partial(Files, directory=str(film.parent))) as url:
        assert len(list(frames(f"{url}/{film.name}"))) == FRAMES


def test_a_camera_shows_the_present(network_camera: str) -> None:
    """A slow answer is followed by the frame of that moment; a camera that ends is named."""
    stream = frames(network_camera)
    before = -1
    for _ in range(4):
        level = int(next(stream).mean()) // 4
        assert level > before
        assert NetworkCamera.shown - level <= 12  # the time in which it is sent and decoded
        before = level
        time.sleep(0.4)
    assert before >= 3 * 6
    with pytest.raises(ImageError, match=r"live' gives no more images: is it still connected"):
        list(stream)


def test_threads_end_with_the_stream(network_camera: str) -> None:
    """Whoever stops listening to a camera leaves no thread of it behind."""
    stream = frames(network_camera)
    next(stream)
    assert "read" in {thread.name.partition("(")[2][:4] for thread in threading.enumerate()}
    stream.close()  # type: ignore[attr-defined]
    assert "read" not in {thread.name.partition("(")[2][:4] for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("text.avi", "text.avi' cannot be opened: it is no film that can be read"),
        ("empty.avi", "empty.avi' has no frame that can be read: copy it again"),
        ("gone.avi", "gone.avi' is neither a camera nor a film that is there"),
        ("/dev/null", "'/dev/null' cannot be opened: is it there, free, and yours to use"),
        ("http://me:secret@127.0.0.1:9/x", "'http://127.0.0.1:9/x' cannot be opened"),
        ("97", "camera 97 cannot be opened: is it there, free, and yours to use"),
        ("99999999999", "camera 99999999999 cannot be opened"),
    ],
)
def test_what_is_no_camera(cv2: Any, tmp_path: Path, source: str, message: str) -> None:
    """What cannot be opened, or has no frames, is named in one line, and OpenCV keeps quiet."""
    (tmp_path / "text.avi").write_text("no film")
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
    """Where the extra is not installed, the line says how to install it."""
    code = """
from fmx_runtime.sources.camera import frames
from fmx_runtime.errors import BackendError
try:
    next(frames("0"))
except BackendError as error:
    print(error)
"""
    assert "pip install 'fmx-runtime[camera]'" in bare_python(code).stdout
