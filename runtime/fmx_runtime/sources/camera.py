"""The frames of a camera or a video."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmx_runtime.errors import BackendError, ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["frames"]

_FRAME_SIZE = (640, 480)  # width, height; larger than the inputs of small models
_TIMEOUT_SECONDS = 10.0  # for a frame, as in OpenCV
_CREDENTIALS = re.compile(r"(?<=://)[^/@]*@")


def frames(source: str) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a camera or a video.

    Of a camera, or a stream without an end, each frame is the newest one. Frames that arrive while
    the last one is classified are skipped, so that a slow model does not fall behind. Of a video,
    every frame is yielded.

    Args:
        source: the number of a camera. It is opened through picamera2 if that is installed and
            knows such a camera on the Raspberry Pi's own connector, otherwise through OpenCV (USB
            cameras). Or the device of a camera, like ``/dev/video0``; the path or URL of a video;
            or the URL of a camera's stream.

    Yields:
        uint8 ``(height, width, 3)``, RGB, values 0 to 255; a new array each time.

    Raises:
        ImageError: there is no such camera or video, or the camera sends no more frames.
        BackendError: neither OpenCV nor, for a camera, picamera2 is installed.
    """
    if not source.isdecimal():
        return _opencv_frames(source)
    number = int(source)
    return _picamera_frames(number) if _is_picamera(number) else _opencv_frames(number)


# The Raspberry Pi's own cameras. Written from picamera2's manual and source, not yet run on one.


def _is_picamera(number: int) -> bool:
    """Return whether picamera2 is installed and knows a camera of that number not on USB."""
    if importlib.util.find_spec("picamera2") is None:
        return False
    try:
        from picamera2 import Picamera2
    except (ImportError, ValueError) as error:  # ValueError: built for another NumPy version
        raise BackendError(
            f"picamera2 cannot be used: {error}: install fmx-runtime in an environment with "
            "--system-site-packages, and with the system's NumPy"
        ) from error
    cameras = Picamera2.global_camera_info()
    return number < len(cameras) and "/usb" not in cameras[number]["Id"]


def _picamera_frames(number: int) -> Iterator[NDArray[np.uint8]]:
    from picamera2 import Picamera2

    camera = None
    try:
        camera = Picamera2(number)
        # DRM's names count from the lowest byte: in memory, BGR888 is red, green, blue
        camera.configure(
            camera.create_video_configuration({"size": _FRAME_SIZE, "format": "BGR888"})
        )
        camera.start()
        while True:
            yield camera.capture_array("main", wait=_TIMEOUT_SECONDS)  # the newest frame
    except TimeoutError as error:
        raise ImageError(_no_more_frames(f"camera {number}")) from error
    except RuntimeError as error:
        raise ImageError(f"camera {number} cannot be used: {error}") from error
    finally:
        if camera is not None:
            camera.close()


# Everything else, through OpenCV


def _opencv_frames(source: int | str) -> Iterator[NDArray[np.uint8]]:
    is_file, is_device, name = False, True, f"camera {source}"
    if isinstance(source, str):
        name = f"'{_CREDENTIALS.sub('', source)}'"
        is_file, is_device = Path(source).is_file(), Path(source).is_char_device()
        if not (is_file or is_device or "://" in source):
            raise ImageError(f"{name} is neither a camera nor an existing video: check the path")
    cv2 = _import_opencv()
    capture = _open_capture(cv2, source, name, is_device=is_device)
    # a live stream does not know its number of frames
    is_video = is_file or capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0
    for frame in _every_frame(capture, name) if is_video else _newest_frames(capture, name):
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def _import_opencv() -> Any:
    # OpenCV reads these when it is loaded and when it opens the first video
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        return importlib.import_module("cv2")
    except ImportError as error:
        raise BackendError(
            "a camera or a video needs OpenCV: pip install 'fmx-runtime[camera]'"
        ) from error


def _open_capture(cv2: Any, source: int | str, name: str, *, is_device: bool) -> Any:
    try:
        capture = cv2.VideoCapture(source, cv2.CAP_V4L2 if is_device else cv2.CAP_ANY)
        if capture.isOpened():
            return capture
    except cv2.error:  # the number is too large
        pass
    if is_device:
        hint = "check that it is connected, not in use, and that you are in the group 'video'"
    else:
        hint = "it is not a video that OpenCV can read, or cannot be reached"
    raise ImageError(f"{name} cannot be opened: {hint}")


def _every_frame(video: Any, name: str) -> Iterator[Any]:
    """Yield each frame of a video, in order."""
    try:
        success, frame = video.read()
        if not success:
            raise ImageError(f"{name} has no readable frame: copy it again")
        while success:
            yield frame
            success, frame = video.read()
    finally:
        video.release()


def _newest_frames(camera: Any, name: str) -> Iterator[Any]:
    """Yield the newest frame each time, and none twice."""
    newest: list[Any] = []
    changed = threading.Condition()
    ended = threading.Event()

    def read() -> None:
        # read all the time: the driver buffers frames, and hands out the oldest first
        success = True
        while success and not ended.is_set():
            success, frame = camera.read()
            with changed:
                newest[:] = [frame] if success else []
                if not success:
                    ended.set()
                changed.notify()
        camera.release()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        while True:
            with changed:
                changed.wait_for(lambda: newest or ended.is_set())
                if not newest:
                    raise ImageError(_no_more_frames(name))
                frame = newest.pop()
            yield frame
    finally:
        ended.set()
        thread.join(1)  # longer only if the camera does not respond any more


def _no_more_frames(name: str) -> str:
    return f"{name} sends no more frames: check that it is still connected"
