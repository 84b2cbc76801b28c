"""The new images in a watched folder, from the first event until each is completely written."""

from __future__ import annotations

import os
import stat
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fmx_runtime.errors import ImageError
from fmx_runtime.sources.paths import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watchdog.events import FileSystemEvent

__all__ = ["CHECK_SECONDS", "Arrivals"]

CHECK_SECONDS = 1.0
"""How often `Arrivals.check` is to be called."""

_SETTLE_SECONDS = 0.2  # a writer that closes a file often opens it again at once
_UNCHANGED_SECONDS = 2.0  # a file whose writer was not seen is complete if unchanged for so long
_EVENT_BURST = 256  # after so many events without a pause, the kernel may have dropped some
_FILE_CLOCK_SECONDS = 0.02  # file times follow the kernel's tick, a little late


class _FileState(NamedTuple):
    """The state of a file; in another state it is another image."""

    inode: int
    size: int
    modified_ns: int


class _Unchanged(NamedTuple):
    """The state of a file, and the time since which it has had this state."""

    state: _FileState
    since: float


class Arrivals:
    """The images that have arrived in a folder and are not yet handed out.

    An image is in one of three places: `_closed` if its writer has closed it, `_unchanged` if its
    writer was not seen, and `_reopened` if it was in one of the two and is open again.
    """

    def __init__(self, folder: Path) -> None:
        """Record the state of the folder.

        Raises:
            OSError: it is not a folder, or cannot be read.
        """
        os.scandir(folder).close()
        self._folder = folder
        self._identity = _folder_identity(folder)  # None as soon as the folder is known to be gone
        # when each was closed by its writer or moved here; the oldest first
        self._closed: OrderedDict[Path, float] = OrderedDict()
        self._unchanged: dict[Path, _Unchanged] = {}
        self._reopened: dict[Path, bool] = {}  # whether it was closed before
        # the time of the last pause in the events; since then: images handed out, number of events
        self._last_pause = self._last_check = _file_time()
        self._handed_out: dict[Path, _FileState] = {}
        self._events = self._events_at_last_check = 0

    def note(self, event: FileSystemEvent) -> None:
        """Update the state of the images that an event is about."""
        self._events += 1
        kind = event.event_type
        place = event.src_path
        if kind == "moved":
            self._forget(Path(os.fsdecode(place)))
            place = event.dest_path
        if kind == "deleted" and Path(os.fsdecode(place)) == self._folder:
            self._identity = None  # a new folder of this name may get the same inode
        if not place or kind == "deleted":  # moved out of the folder, or gone
            return
        for path in self._images_in(Path(os.fsdecode(place)), is_folder=event.is_directory):
            # the event of a moved folder may come before or after those of its content
            if kind == "closed" or (kind == "moved" and not self._is_handed_out(path)):
                self._forget(path)
                self._closed[path] = time.monotonic()
            elif kind == "created":
                self._wait_until_unchanged(path)
            elif kind == "opened" and (path in self._closed or path in self._unchanged):
                was_closed = path in self._closed
                self._forget(path)
                self._reopened[path] = was_closed
            elif kind == "closed_no_write" and path in self._reopened:
                # the program that had it open has only read it
                if self._reopened.pop(path):
                    self._closed[path] = time.monotonic()
                else:
                    self._wait_until_unchanged(path)

    def check(self) -> None:
        """Look at the unchanged files, for a pause in the events, and at the folder itself.

        Raises:
            ImageError: the folder is gone.
        """
        if self._identity is None or _folder_identity(self._folder) != self._identity:
            raise ImageError(
                f"folder '{self._folder}' was removed or replaced: start watching it again"
            )
        now = time.monotonic()
        for path, last in list(self._unchanged.items()):
            state = _file_state(path)
            if state is None:
                del self._unchanged[path]
            elif state != last.state:
                self._unchanged[path] = _Unchanged(state, now)
            elif now - last.since >= _UNCHANGED_SECONDS:
                del self._unchanged[path]
                self._closed[path] = now
        if self._events == self._events_at_last_check and not (self._closed or self._unchanged):
            self._use_pause()
        self._events_at_last_check = self._events
        self._last_check = _file_time()

    def next(self) -> Path | None:
        """Return the next complete image, if there is one."""
        while self._closed and self.seconds_until_next() == 0:
            path, _ = self._closed.popitem(last=False)
            state = _file_state(path)
            if state is not None and state.size > 0:
                self._handed_out[path] = state
                return path
        return None

    def seconds_until_next(self) -> float:
        """Return how long there is nothing to do if no event arrives."""
        for closed in self._closed.values():
            return max(0.0, closed + _SETTLE_SECONDS - time.monotonic())
        return CHECK_SECONDS

    def _use_pause(self) -> None:
        """All known images are handed out: search for those whose events may be lost."""
        if self._events >= _EVENT_BURST:
            for path in [*self._reopened, *self._images_in(self._folder, is_folder=True)]:
                if _change_time(path) >= self._last_pause:
                    self._wait_until_unchanged(path)
            self._reopened.clear()
        else:
            self._handed_out.clear()
            self._last_pause = self._last_check  # later events may still be on their way
        self._events = 0

    def _wait_until_unchanged(self, path: Path) -> None:
        """Hand an image out when it is unchanged for a while, unless more is known of it."""
        state = _file_state(path)
        if state and path not in self._closed and not self._is_handed_out(path):
            self._unchanged.setdefault(path, _Unchanged(state, time.monotonic()))

    def _is_handed_out(self, path: Path) -> bool:
        return path in self._handed_out and self._handed_out[path] == _file_state(path)

    def _forget(self, path: Path) -> None:
        for known in (self._closed, self._unchanged, self._reopened):
            known.pop(path, None)

    def _images_in(self, place: Path, *, is_folder: bool) -> Iterator[Path]:
        """Yield an image, or all images in a folder, by suffix; hidden ones are left out."""
        try:
            relative = place.relative_to(self._folder)
        except ValueError:  # moved out of the folder
            return
        if any(part.startswith(".") for part in relative.parts):
            return
        if not is_folder:
            if place.suffix.lower() in IMAGE_SUFFIXES:
                yield place
            return
        for parent, folders, files in os.walk(place):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                path = Path(parent, name)
                if path.suffix.lower() in IMAGE_SUFFIXES and not name.startswith("."):
                    yield path


def _folder_identity(folder: Path) -> tuple[int, int] | None:
    """Return device and inode of a folder; None if it is gone."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _file_state(path: Path) -> _FileState | None:
    """Return the state of a regular file; None for anything else, or if it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return _FileState(status.st_ino, status.st_size, status.st_mtime_ns)


def _file_time() -> float:
    """Return the current time in seconds, not later than the times of files changed from now on."""
    return time.time() - _FILE_CLOCK_SECONDS


def _change_time(path: Path) -> float:
    """Return when a file was last written or renamed, in seconds; 0 if it is gone."""
    try:
        return path.stat().st_ctime
    except OSError:
        return 0.0
