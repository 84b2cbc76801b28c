"""A camera, or a film: its frames as images."""

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

_SIZE = (640, 480)  # width, height: more than small networks see
_PATIENCE_SECONDS = 10.0  # as long as OpenCV waits for a frame


def frames(source: str) -> Iterator[NDArray[np.uint8]]:
    """What a camera sees, or what a film shows, frame by frame.

    Of a camera, and of any stream without an end, each frame is the newest one: those that come
    while the last one is answered are passed over, so that a slow answer is never about the past.
    Of a film every frame comes.

    Args:
        source: a camera's number, through picamera2 where that is installed and has such a camera
            (Raspberry Pi's own ones), else through OpenCV (USB cameras); or a camera's device, like
            ``/dev/video0``; or the path or URL of a film, or the URL of a camera's stream.

    Yields:
        uint8 ``(height, width, 3)``, RGB, values 0 to 255; a new array each time.

    Raises:
        ImageError: no such camera or film, or a camera that gives no more images.
        BackendError: neither OpenCV nor, for a camera, picamera2 is installed.
    """
    if not source.isdecimal():
        return _shown(source)
    number = int(source)
    return _raspberry(number) if _is_raspberrys(number) else _shown(number)


# Raspberry Pi's own cameras. Written by picamera2's manual and source; not run on one yet.


def _is_raspberrys(number: int) -> bool:
    """Whether picamera2 is installed, and knows a camera of that number that is none on USB."""
    if importlib.util.find_spec("picamera2") is None:
        return False
    try:
        from picamera2 import Picamera2
    except (ImportError, ValueError) as error:  # a ValueError for another NumPy than the system's
        raise BackendError(
            f"picamera2 cannot be used: {error}: install fmx-runtime in an environment with "
            "--system-site-packages, and with the system's NumPy"
        ) from error
    cameras = Picamera2.global_camera_info()
    return number < len(cameras) and "/usb" not in cameras[number]["Id"]


def _raspberry(number: int) -> Iterator[NDArray[np.uint8]]:
    from picamera2 import Picamera2

    camera = None
    try:
        camera = Picamera2(number)
        # by DRM's names, which count from the lowest byte: in memory this is red, green, blue
        camera.configure(camera.create_video_configuration({"size": _SIZE, "format": "BGR888"}))
        camera.start()
        while True:
            yield camera.capture_array("main", wait=_PATIENCE_SECONDS)  # it keeps the last frame
    except TimeoutError as error:
        raise ImageError(_gone(f"camera {number}")) from error
    except RuntimeError as error:
        raise ImageError(f"camera {number} cannot be used: {error}") from error
    finally:
        if camera is not None:
            camera.close()


# everything else, by OpenCV


def _shown(source: int | str) -> Iterator[NDArray[np.uint8]]:
    is_file, is_device, name = False, True, f"camera {source}"
    if isinstance(source, str):
        name = "'{}'".format(re.sub(r"(?<=://)[^/@]*@", "", source))  # without a password
        is_file, is_device = Path(source).is_file(), Path(source).is_char_device()
        if not (is_file or is_device or "://" in source):
            raise ImageError(f"{name} is neither a camera nor a film that is there")
    cv2 = _opencv()
    capture = _opened(cv2, source, name, is_device=is_device)
    # a live stream does not know how many frames it has
    is_film = is_file or capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0
    for frame in _all(capture, name) if is_film else _newest(capture, name):
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def _opencv() -> Any:
    # read when OpenCV is loaded and when it opens its first film
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        return importlib.import_module("cv2")
    except ImportError as error:
        raise BackendError(
            "a camera or a film needs OpenCV: pip install 'fmx-runtime[camera]'"
        ) from error


def _opened(cv2: Any, source: int | str, name: str, *, is_device: bool) -> Any:
    try:
        capture = cv2.VideoCapture(source, cv2.CAP_V4L2 if is_device else cv2.CAP_ANY)
        if capture.isOpened():
            return capture
    except cv2.error:  # a number that is too large
        pass
    if is_device:
        why = "is it there, free, and yours to use (group video)?"
    else:
        why = "it is no film that can be read, or cannot be reached"
    raise ImageError(f"{name} cannot be opened: {why}")


def _all(film: Any, name: str) -> Iterator[Any]:
    """Each frame, in order."""
    try:
        there, frame = film.read()
        if not there:
            raise ImageError(f"{name} has no frame that can be read: copy it again")
        while there:
            yield frame
            there, frame = film.read()
    finally:
        film.release()


def _newest(camera: Any, name: str) -> Iterator[Any]:
    """Each time the last frame that has come, and none twice."""
    newest: list[Any] = []
    changed = threading.Condition()
    ended = threading.Event()

    def read() -> None:
        # always: the driver keeps frames back, and hands out the oldest of them first
        there = True
        while there and not ended.is_set():
            there, frame = camera.read()
            with changed:
                newest[:] = [frame] if there else []
                if not there:
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
                    raise ImageError(_gone(name))
                frame = newest.pop()
            yield frame
    finally:
        ended.set()
        thread.join(1)  # longer only where the camera has stopped to answer


def _gone(name: str) -> str:
    return f"{name} gives no more images: is it still connected?"
