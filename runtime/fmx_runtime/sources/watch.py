"""Watch a folder for new images; each one is yielded when it is completely written."""

from __future__ import annotations

import logging
import queue
import time
from typing import TYPE_CHECKING

from fmx_runtime.errors import BackendError, ImageError
from fmx_runtime.sources.watched_files import CHECK_SECONDS, Arrivals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from watchdog.events import FileSystemEvent

__all__ = ["new_images"]

_SILENT_HANDLER = logging.NullHandler()  # otherwise watchdog's warnings go to stderr


def new_images(folder: Path) -> Iterator[Path]:
    """Yield new images in a folder, endlessly.

    An image is new when a program that wrote it closes it, or when it is moved or renamed into the
    folder or one below it, alone or in a folder. An image that is written again is new again.
    Hidden files are skipped, as many programs write to one and then rename it. So are files without
    the suffix of an image, empty files, and images that are gone when their turn comes. Links to
    folders in the folder are not followed.

    More events than the kernel keeps (16,384, see inotify(7)) may arrive before they are read. If
    many images arrive at once, the folder is searched for those without an event.

    Args:
        folder: watched with all folders in it, from the first `next` on. The images that are in it
            already are not new.

    Yields:
        Paths below ``folder``, in the order in which the images were completed.

    Raises:
        ImageError: the folder cannot be watched, or was removed.
        BackendError: the extra ``watch`` is not installed.
    """
    try:
        from watchdog import events as kinds
        from watchdog.observers.inotify import InotifyObserver
    except ImportError as error:
        raise BackendError(
            "watching a folder needs the package watchdog: pip install 'fmx-runtime[watch]'"
        ) from error
    logging.getLogger("watchdog").addHandler(_SILENT_HANDLER)
    events: queue.SimpleQueue[FileSystemEvent] = queue.SimpleQueue()
    handler = kinds.FileSystemEventHandler()
    handler.on_any_event = events.put
    observer = None
    try:
        arrivals = Arrivals(folder)
        # full events distinguish a file that is moved here from one that is created
        observer = InotifyObserver(generate_full_events=True)
        observer.schedule(
            handler,
            f"{folder}/.",  # if the folder is a link, its target
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
        yield from _complete_images(events, arrivals)
    finally:
        observer.stop()
        observer.join()


def _complete_images(
    events: queue.SimpleQueue[FileSystemEvent], arrivals: Arrivals
) -> Iterator[Path]:
    last_check = time.monotonic()
    while True:
        for event in _wait_for_events(events, arrivals.seconds_until_next()):
            arrivals.note(event)
        if time.monotonic() - last_check >= CHECK_SECONDS:
            arrivals.check()
            last_check = time.monotonic()
        path = arrivals.next()
        if path is not None:
            yield path


def _wait_for_events(
    events: queue.SimpleQueue[FileSystemEvent], seconds: float
) -> Iterator[FileSystemEvent]:
    """Yield all events that have arrived; wait for the first one at most so many seconds."""
    try:
        yield events.get(timeout=seconds)
        while True:
            yield events.get_nowait()
    except queue.Empty:
        return
