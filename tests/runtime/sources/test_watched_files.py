from __future__ import annotations

import time
from pathlib import Path

import pytest

from fmx_runtime.errors import ImageError
from fmx_runtime.sources import watched_files
from fmx_runtime.sources.watched_files import Arrivals

kinds = pytest.importorskip("watchdog.events")


def next_within(images: Arrivals, seconds: float) -> Path | None:
    """Return the next image, if one is complete in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        images.check()
        if path := images.next():
            return path
        time.sleep(0.02)
    return None


@pytest.fixture
def images(tmp_path: Path) -> Arrivals:
    """Return the arrivals of an empty folder."""
    return Arrivals(tmp_path)


def test_closed_image(images: Arrivals, tmp_path: Path) -> None:
    """An image is complete shortly after its writer has closed it, and is handed out once."""
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    images.note(kinds.FileClosedEvent(str(path)))
    assert images.next() is None
    assert 0 < images.seconds_until_next() <= 0.2
    assert next_within(images, 5) == path
    assert images.seconds_until_next() == watched_files.CHECK_SECONDS
    assert images.next() is None


def test_created_image(images: Arrivals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image whose writer was not seen is complete when it has not changed for a while."""
    monkeypatch.setattr(watched_files, "_UNCHANGED_SECONDS", 0.3)
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    images.note(kinds.FileCreatedEvent(str(path)))
    images.check()
    path.write_bytes(b"longer")
    images.check()
    assert images.next() is None
    assert next_within(images, 5) == path


def test_reopened_image(images: Arrivals, tmp_path: Path) -> None:
    """An image that is open again waits until it is closed."""
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    images.note(kinds.FileClosedEvent(str(path)))
    images.note(kinds.FileOpenedEvent(str(path)))
    assert next_within(images, 0.4) is None
    images.note(kinds.FileClosedNoWriteEvent(str(path)))
    assert next_within(images, 5) == path


def test_other_files(images: Arrivals, tmp_path: Path) -> None:
    """Hidden files, other files, empty files and files outside the folder are not handed out."""
    (tmp_path / "empty.png").touch()
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.png").write_bytes(b"x")
    for name in ("empty.png", "notes.txt", ".hidden.png", "gone.png", "../outside.png"):
        images.note(kinds.FileClosedEvent(str(tmp_path / name)))
    images.note(kinds.FileClosedEvent(str(Path(tmp_path.anchor) / "outside.png")))
    assert next_within(images, 0.5) is None


def test_lost_events(images: Arrivals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a burst of events, the folder is searched for images without an event."""
    monkeypatch.setattr(watched_files, "_UNCHANGED_SECONDS", 0.1)
    (tmp_path / "lost.png").write_bytes(b"x")
    for number in range(300):
        images.note(kinds.FileClosedEvent(str(tmp_path / f"{number}.txt")))
    assert next_within(images, 5) == tmp_path / "lost.png"


def test_removed_folder(tmp_path: Path) -> None:
    """A folder that is removed, or replaced by another one, is an error."""
    folder = tmp_path / "in"
    folder.mkdir()
    images = Arrivals(folder)
    images.check()
    folder.rmdir()
    with pytest.raises(ImageError, match="was removed or replaced"):
        images.check()
    with pytest.raises(OSError, match="No such file"):
        Arrivals(folder)
