"""A folder that images are put into: each new one, once it is completely written."""

from __future__ import annotations

import logging
import os
import queue
import stat
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fmx_runtime.errors import BackendError, ImageError
from fmx_runtime.sources.paths import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watchdog.events import FileSystemEvent

__all__ = ["new_images"]

_MOMENT_SECONDS = 0.2  # a writer that closes a file often opens it once more, and at once
_REST_SECONDS = 2.0  # unchanged for that long, a file whose writer was not seen is complete
_LOOK_SECONDS = 1.0  # how often such files, and the folder itself, are looked at
_BURST = 256  # events without a pause: there may have been more than the kernel keeps

_UNHEARD = logging.NullHandler()  # watchdog talks


def new_images(folder: Path) -> Iterator[Path]:
    """Wait for images, for ever.

    An image is new when a program that wrote it closes it, or when it is moved or renamed into
    the folder or one below it, alone or with a folder around it. One that is written anew is new
    again. Hidden files, which many programs write to and then rename, and those with no image's
    suffix, are passed over; so are empty ones, and images that are gone when their turn comes.
    Links to folders below it are not followed.

    More than the kernel notes (16,384 events, see inotify(7)) can come while nobody reads: after
    many images at once the folder is searched for those that nothing was heard of.

    Args:
        folder: with all folders below it; what is in it already is not new. It is watched from
            when the first image is asked for.

    Yields:
        Paths below ``folder``, in the order in which they were completed.

    Raises:
        ImageError: the folder cannot be watched, or is there no longer.
        BackendError: the extra ``watch`` is not installed.
    """
    try:
        from watchdog import events as kinds
        from watchdog.observers.inotify import InotifyObserver
    except ImportError as error:
        raise BackendError(
            "watching a folder needs the package watchdog: pip install 'fmx-runtime[watch]'"
        ) from error
    logging.getLogger("watchdog").addHandler(_UNHEARD)
    events: queue.SimpleQueue[FileSystemEvent] = queue.SimpleQueue()
    handler = kinds.FileSystemEventHandler()
    handler.on_any_event = events.put
    observer = None
    try:
        arrivals = _Arrivals(folder)
        # full events tell what is moved here from elsewhere apart from what begins to be written
        observer = InotifyObserver(generate_full_events=True)
        observer.schedule(
            handler,
            f"{folder}/.",  # the folder that a link leads to, not the link
            recursive=True,
            event_filter=[
                kinds.FileCreatedEvent,
                kinds.DirCreatedEvent,
                kinds.FileMovedEvent,
                kinds.DirMovedEvent,
                kinds.DirDeletedEvent,
                kinds.FileOpenedEvent,
                kinds.FileClosedEvent,
                kinds.FileClosedNoWriteEvent,
            ],
        )
        observer.start()
    except OSError as error:
        if observer is not None:
            observer.stop()
        raise ImageError(f"folder '{folder}' cannot be watched: {error.strerror}") from error
    try:
        yield from _completed(events, arrivals)
    finally:
        observer.stop()
        observer.join()


def _completed(events: queue.SimpleQueue[FileSystemEvent], arrivals: _Arrivals) -> Iterator[Path]:
    looked = time.monotonic()
    while True:
        for event in _waiting(events, arrivals.patience()):
            arrivals.note(event)
        if time.monotonic() - looked >= _LOOK_SECONDS:
            arrivals.look()
            looked = time.monotonic()
        path = arrivals.next()
        if path is not None:
            yield path


def _waiting(
    events: queue.SimpleQueue[FileSystemEvent], seconds: float
) -> Iterator[FileSystemEvent]:
    """All events that are there, the first of which may take some seconds to come."""
    try:
        yield events.get(timeout=seconds)
        while True:
            yield events.get_nowait()
    except queue.Empty:
        return


class _State(NamedTuple):
    """What a file is like; another state is another image."""

    file: int
    size: int
    modified: int


class _Resting(NamedTuple):
    state: _State
    since: float


class _Arrivals:
    """Images that have come to a folder, each until it is complete and told."""

    def __init__(self, folder: Path) -> None:
        """The folder as it is now.

        Raises:
            OSError: it is none, or may not be read.
        """
        os.scandir(folder).close()
        self._folder = folder
        self._home = _identity(folder)  # None when it is known to be gone
        # since when they are closed by their writers, or moved here; the oldest first
        self._closed: OrderedDict[Path, float] = OrderedDict()
        self._resting: dict[Path, _Resting] = {}  # those that nobody was seen to write
        self._open: dict[Path, bool] = {}  # of both, what is open again; and was it closed?
        # since the last pause: when that was, what was told, and how much was heard
        self._pause = self._looked = _clock()
        self._told: dict[Path, _State] = {}
        self._events = self._events_before = 0

    def note(self, event: FileSystemEvent) -> None:
        """What an event says of images."""
        self._events += 1
        kind = event.event_type
        place = event.src_path
        if kind == "moved":
            self._forget(Path(os.fsdecode(place)))
            place = event.dest_path
        if kind == "deleted" and Path(os.fsdecode(place)) == self._folder:
            self._home = None  # another folder of its name may get its number, too
        if not place or kind == "deleted":  # moved to elsewhere, or gone
            return
        for path in self._images(Path(os.fsdecode(place)), everything=event.is_directory):
            # a folder that is moved is told of before, or after, what is in it
            if kind == "closed" or (kind == "moved" and not self._is_told(path)):
                self._forget(path)
                self._closed[path] = time.monotonic()
            elif kind == "created":
                self._rest(path)
            elif kind == "opened" and (path in self._closed or path in self._resting):
                closed = path in self._closed
                self._forget(path)
                self._open[path] = closed
            elif kind == "closed_no_write" and path in self._open:
                # whoever had it open has only read it
                if self._open.pop(path):
                    self._closed[path] = time.monotonic()
                else:
                    self._rest(path)

    def look(self) -> None:
        """See what rests, whether there was a pause, and whether the folder is still there.

        Raises:
            ImageError: it is not.
        """
        if self._home is None or _identity(self._folder) != self._home:
            raise ImageError(
                f"folder '{self._folder}' is not there any longer, or is another one now: "
                "watch it again"
            )
        now = time.monotonic()
        for path, last in list(self._resting.items()):
            state = _state(path)
            if state is None:
                del self._resting[path]
            elif state != last.state:
                self._resting[path] = _Resting(state, now)
            elif now - last.since >= _REST_SECONDS:
                del self._resting[path]
                self._closed[path] = now
        if self._events == self._events_before and not (self._closed or self._resting):
            self._make_a_pause()
        self._events_before = self._events
        self._looked = _clock()

    def next(self) -> Path | None:
        """The next image that is complete."""
        while self._closed and self.patience() == 0:
            path, _ = self._closed.popitem(last=False)
            state = _state(path)
            if state is not None and state.size > 0:
                self._told[path] = state
                return path
        return None

    def patience(self) -> float:
        """Seconds until something is to be done, if no event comes."""
        for closed in self._closed.values():
            return max(0.0, closed + _MOMENT_SECONDS - time.monotonic())
        return _LOOK_SECONDS

    def _make_a_pause(self) -> None:
        """All that is known of is told; what may have come unnoticed is searched for."""
        if self._events >= _BURST:
            for path in [*self._open, *self._images(self._folder, everything=True)]:
                if _changed(path) >= self._pause:
                    self._rest(path)
            self._open.clear()
        else:
            self._told.clear()
            self._pause = self._looked  # what came since may still be on its way to here
        self._events = 0

    def _rest(self, path: Path) -> None:
        """Wait for an image to stay as it is, unless more is known of it."""
        state = _state(path)
        if state and path not in self._closed and not self._is_told(path):
            self._resting.setdefault(path, _Resting(state, time.monotonic()))

    def _is_told(self, path: Path) -> bool:
        return path in self._told and self._told[path] == _state(path)

    def _forget(self, path: Path) -> None:
        for known in (self._closed, self._resting, self._open):
            known.pop(path, None)

    def _images(self, place: Path, *, everything: bool) -> Iterator[Path]:
        """A file, or everything below a folder, as far as it is named as images are."""
        try:
            hidden = any(part.startswith(".") for part in place.relative_to(self._folder).parts)
        except ValueError:  # moved out of the folder
            return
        if hidden:
            return
        if not everything:
            if place.suffix.lower() in SUFFIXES:
                yield place
            return
        for above, folders, files in os.walk(place):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                path = Path(above, name)
                if path.suffix.lower() in SUFFIXES and not name.startswith("."):
                    yield path


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _state(path: Path) -> _State | None:
    """None for what is no file, or not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return _State(status.st_ino, status.st_size, status.st_mtime_ns)


def _clock() -> float:
    """Seconds as files have them, whose clock ticks a hundred times a second."""
    return time.time() - 0.02


def _changed(path: Path) -> float:
    """When a file was written or renamed, in seconds; never for one that is not there."""
    try:
        return path.stat().st_ctime
    except OSError:
        return 0.0
