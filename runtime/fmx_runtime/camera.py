"""A camera, or a film: its frames as pictures."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmx_runtime.errors import BackendError, PictureError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["frames"]

_SIZE = (640, 480)  # width, height: more than small networks see


def frames(source: str) -> Iterator[NDArray[np.uint8]]:
    """What a camera sees, or what a film shows, frame by frame.

    Of a camera, each frame is the newest one: those that come while the last one is answered are
    passed over, so that a slow answer is never about the past. Of a film every frame comes.

    Args:
        source: a camera's number, through picamera2 where that is installed and has such a camera
            (Raspberry Pi's own ones), else through OpenCV (USB cameras); or a film's path or URL.

    Yields:
        uint8 ``(height, width, 3)``, RGB, values 0 to 255; a new array each time.

    Raises:
        PictureError: no such camera or film, or a camera that gives no more pictures.
        BackendError: neither OpenCV nor, for a camera, picamera2 is installed.
    """
    if source.isdecimal():
        number = int(source)
        return _raspberry(number) if _is_raspberrys(number) else _live(number)
    return _film(source)


def _is_raspberrys(number: int) -> bool:
    """Whether picamera2 is installed, and knows a camera of that number."""
    if importlib.util.find_spec("picamera2") is None:
        return False
    from picamera2 import Picamera2

    return number < len(Picamera2.global_camera_info())


def _raspberry(number: int) -> Iterator[NDArray[np.uint8]]:
    """Frames of the Raspberry Pi's own camera. Written by picamera2's manual, and not yet run."""
    from picamera2 import Picamera2

    try:
        camera = Picamera2(number)
        # by DRM's names, which count from the lowest byte: in memory this is red, green, blue
        camera.configure(camera.create_video_configuration({"size": _SIZE, "format": "BGR888"}))
        camera.start()
    except (RuntimeError, IndexError) as error:
        raise PictureError(f"camera {number} cannot be used: {error}") from error
    try:
        while True:
            yield camera.capture_array("main")
    finally:
        camera.stop()
        camera.close()


def _live(number: int) -> Iterator[NDArray[np.uint8]]:
    """The newest frame of a camera, each time one is asked for."""
    cv2 = _opencv()
    camera = _opened(cv2, number, f"camera {number}")
    newest: list[NDArray[Any]] = []
    changed = threading.Condition()
    ended = threading.Event()

    def grab() -> None:
        # the driver keeps some frames back, and would hand out the oldest of them first
        while not ended.is_set():
            there, frame = camera.read()
            with changed:
                newest[:] = [frame] if there else []
                changed.notify()
            if not there:
                ended.set()

    thread = threading.Thread(target=grab, daemon=True)
    thread.start()
    try:
        while True:
            with changed:
                changed.wait_for(lambda: newest or ended.is_set())
                if not newest:
                    raise PictureError(f"camera {number} gives no more pictures: is it plugged in?")
                frame = newest.pop()
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        ended.set()
        thread.join()
        camera.release()


def _film(source: str) -> Iterator[NDArray[np.uint8]]:
    """All frames of a film, in order."""
    name = f"'{source}'"
    if "://" not in source and not Path(source).is_file():
        raise PictureError(f"{name} is neither a camera's number nor a film that is there")
    cv2 = _opencv()
    film = _opened(cv2, source, name)
    try:
        while True:
            there, frame = film.read()
            if not there:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        film.release()


def _opencv() -> Any:
    try:
        cv2 = importlib.import_module("cv2")
    except ImportError as error:
        raise BackendError(
            "a camera or a film needs OpenCV: pip install 'fmx-runtime[camera]'"
        ) from error
    with contextlib.suppress(AttributeError):  # OpenCV 4 has it elsewhere
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2


def _opened(cv2: Any, source: int | str, name: str) -> Any:
    capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        capture.release()
        raise PictureError(f"{name} cannot be opened: no such camera, or no film that can be read")
    return capture
