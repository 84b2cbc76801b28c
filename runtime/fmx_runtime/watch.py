"""A folder that pictures are put into: each new one, once it is completely written."""

from __future__ import annotations

import os
import queue
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fmx_runtime.errors import BackendError, PictureError
from fmx_runtime.pictures import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from watchdog.events import FileSystemEvent

__all__ = ["new_pictures"]

_SETTLED_SECONDS = 2.0  # unchanged for that long, a file whose writer was not seen is complete
_LOOK_SECONDS = 0.5  # how often such files, and the folder itself, are looked at


def new_pictures(folder: Path) -> Iterator[Path]:
    """Wait for pictures, for ever.

    A picture is new when a program that wrote it closes it, or when it is moved or renamed into
    the folder or one below it, alone or with a folder around it. One that is written anew is new
    again. Hidden files, which many programs write to and then rename, and those with no picture's
    suffix, are passed over; so are empty ones, and pictures that are gone when their turn comes.

    Args:
        folder: with all folders below it; what is in it already is not new.

    Yields:
        Paths below ``folder``, in the order in which they were completed.

    Raises:
        PictureError: the folder is not there, is there no longer, or cannot be watched.
        BackendError: the extra ``watch`` is not installed.
    """
    try:
        from watchdog.events import FileSystemEventHandler
        from watchdog.observers.inotify import InotifyObserver
    except ImportError as error:
        raise BackendError(
            "watching a folder needs the package watchdog: pip install 'fmx-runtime[watch]'"
        ) from error
    if not folder.is_dir():
        raise PictureError(f"folder '{folder}' does not exist")
    events: queue.SimpleQueue[FileSystemEvent] = queue.SimpleQueue()
    handler = FileSystemEventHandler()
    handler.on_any_event = events.put
    # full events tell what is moved here from elsewhere apart from what begins to be written
    observer = InotifyObserver(generate_full_events=True)
    observer.schedule(handler, str(folder), recursive=True)
    try:
        observer.start()
    except OSError as error:
        raise PictureError(f"folder '{folder}' cannot be watched: {error.strerror}") from error
    try:
        yield from (path for path in _completed(events, folder) if _is_there(path))
    finally:
        observer.stop()
        observer.join()


class _Unsettled(NamedTuple):
    """A file that nobody was seen to close: what it was like, and since when."""

    state: tuple[int, int] | None
    since: float


def _completed(events: queue.SimpleQueue[FileSystemEvent], folder: Path) -> Iterator[Path]:
    unsettled: dict[Path, _Unsettled] = {}
    looked = time.monotonic()
    while True:
        try:
            event = events.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            event = None
        if event is not None:
            for path in _complete_by(event, folder):
                unsettled.pop(path, None)
                yield path
            if event.event_type == "created":
                for path in _pictures(event.src_path, folder):
                    unsettled.setdefault(path, _Unsettled(_state(path), time.monotonic()))
        if time.monotonic() - looked >= _LOOK_SECONDS:
            looked = time.monotonic()
            yield from _settled(unsettled)
            if not folder.is_dir():
                raise PictureError(f"folder '{folder}' is not there any longer")


def _complete_by(event: FileSystemEvent, folder: Path) -> Iterable[Path]:
    """The pictures that are whole since an event."""
    if event.event_type == "closed":
        return _pictures(event.src_path, folder)
    if event.event_type == "moved" and event.dest_path:
        return _pictures(event.dest_path, folder)
    return ()


def _pictures(place: str | bytes, folder: Path) -> Iterator[Path]:
    """A file, or all files below a folder, as far as they are named as pictures are."""
    path = Path(os.fsdecode(place))
    inside = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in inside:
        if not file.is_relative_to(folder):  # moved out of it
            continue
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if file.suffix.lower() in SUFFIXES and not hidden and not file.is_dir():
            yield file


def _settled(unsettled: dict[Path, _Unsettled]) -> Iterator[Path]:
    """Files that were there before their folder could be watched, or are links to others.

    They were seen to come and will not be seen to be closed, so they count when they rest.
    """
    now = time.monotonic()
    for path, last in list(unsettled.items()):
        state = _state(path)
        if state is None:
            del unsettled[path]
        elif state != last.state:
            unsettled[path] = _Unsettled(state, now)
        elif now - last.since >= _SETTLED_SECONDS:
            del unsettled[path]
            yield path


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of the last change; None where nothing is there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _is_there(path: Path) -> bool:
    state = _state(path)
    return state is not None and state[0] > 0
