from __future__ import annotations

import queue
import shutil
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from fmx_runtime.errors import PictureError
from fmx_runtime.watch import new_pictures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytest.importorskip("watchdog")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The watched folder, with a picture in it that is not new."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "old.png").write_bytes(b"old")
    return folder


class Watch:
    """A watch in a thread of its own: called with seconds, it gives what comes in time, or None."""

    def __init__(self, folder: Path) -> None:
        """Begin it."""
        self._folder = folder
        self._found: queue.Queue[Path | Exception] = queue.Queue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        stream = new_pictures(self._folder)
        try:
            for path in stream:
                if self._stop.is_set():
                    return
                self._found.put(path)
        except PictureError as error:
            self._found.put(error)
        finally:
            stream.close()  # type: ignore[attr-defined]

    def __call__(self, seconds: float) -> Path | Exception | None:
        """The next picture, or the error that ended it; None if nothing comes in time."""
        try:
            return self._found.get(timeout=seconds)
        except queue.Empty:
            return None

    def end(self) -> None:
        """Have it end, and make sure that it does."""
        self._stop.set()
        if self._folder.exists():
            (self._folder / "end.png").write_bytes(b"x")
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture
def seen(folder: Path) -> Iterator[Watch]:
    """The watch of the folder, in place."""
    watch = Watch(folder)
    for number in range(100):
        (folder / f"begin{number}.png").write_bytes(b"x")
        if watch(0.1):
            break
    while watch(0.3):
        pass
    yield watch
    watch.end()


SLOW_WRITER = """
import sys, time
with open(sys.argv[1], "wb") as file:
    for _ in range(6):
        file.write(b"part")
        file.flush()
        time.sleep(0.2)
"""


def test_a_picture_that_is_copied(folder: Path, pictures: Path, seen: Watch) -> None:
    """It is named once; nothing is said of the old one."""
    shutil.copy(pictures / "00.png", folder / "new.png")
    assert seen(5) == folder / "new.png"
    assert seen(0.5) is None


def test_a_slow_writer(folder: Path, seen: Watch) -> None:
    """A picture that another program takes a second to write is named when it has closed it."""
    path = folder / "slow.jpg"
    process = subprocess.Popen([sys.executable, "-c", SLOW_WRITER, path])
    assert seen(10) == path
    assert path.stat().st_size == 24
    assert process.wait() == 0
    assert seen(0.5) is None


def test_renamed_when_it_is_whole(folder: Path, pictures: Path, seen: Watch) -> None:
    """Copiers that write under another name, hidden or not, and then rename: once, in the end."""
    for partial, name in (
        (".new.png.Ab12", "new.png"),
        ("b.png.part", "b.png"),
        (".c.png", "c.png"),
    ):
        shutil.copy(pictures / "00.png", folder / partial)
        (folder / partial).rename(folder / name)
        assert seen(5) == folder / name
    assert seen(0.5) is None


def test_moved_from_elsewhere(folder: Path, pictures: Path, tmp_path: Path, seen: Watch) -> None:
    """A picture, and a folder of pictures, moved there from outside are named at once."""
    shutil.copy(pictures / "00.png", tmp_path / "one.png")
    (tmp_path / "one.png").rename(folder / "one.png")
    assert seen(1.5) == folder / "one.png"
    shutil.copytree(pictures, tmp_path / "many")
    (tmp_path / "many").rename(folder / "many")
    names = {seen(1.5) for _ in pictures.iterdir()}
    assert names == {folder / "many" / path.name for path in pictures.iterdir()}


def test_new_folders(folder: Path, pictures: Path, seen: Watch) -> None:
    """Pictures written into folders that were made a moment before are not lost."""
    for name in ("a", "a/b", "a/b/c"):
        (folder / name).mkdir()
        shutil.copy(pictures / "00.png", folder / name / "x.png")
    found = set()
    while len(found) < 3 and (path := seen(6)):
        found.add(path)
    assert found == {folder / name / "x.png" for name in ("a", "a/b", "a/b/c")}


def test_written_again(folder: Path, pictures: Path, seen: Watch) -> None:
    """A picture that is overwritten is new again."""
    for name in ("00.png", "01.png"):
        shutil.copy(pictures / name, folder / "same.png")
        assert seen(5) == folder / "same.png"


def test_what_is_passed_over(folder: Path, pictures: Path, seen: Watch) -> None:
    """No text, nothing hidden, nothing empty, nothing that is gone again."""
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden").mkdir()
    shutil.copy(pictures / "00.png", folder / ".hidden" / "x.png")
    (folder / "empty.png").touch()
    shutil.copy(pictures / "00.png", folder / "last.png")
    assert seen(5) == folder / "last.png"
    assert seen(3) is None


def test_thousands_at_once(folder: Path, seen: Watch) -> None:
    """None of 3,000 pictures that come within moments is lost, and each is named once."""
    for number in range(3000):
        (folder / f"{number}.png").write_bytes(b"picture")
    found = [seen(5) for _ in range(3000)]
    assert set(found) == {folder / f"{number}.png" for number in range(3000)}
    assert seen(0.5) is None


def test_the_folder_goes(folder: Path, seen: Watch) -> None:
    """When the folder itself is removed, one line says so."""
    shutil.rmtree(folder)
    error = seen(5)
    assert isinstance(error, PictureError)
    assert str(error) == f"folder '{folder}' is not there any longer"


def test_no_such_folder(tmp_path: Path) -> None:
    """One that is not there cannot be watched."""
    with pytest.raises(PictureError, match="gone' does not exist"):
        next(new_pictures(tmp_path / "gone"))


def test_it_ends_cleanly(folder: Path, pictures: Path) -> None:
    """When the watch is closed, no thread is left."""
    before = threading.active_count()
    stream = new_pictures(folder)

    def copy_later() -> None:
        for number in range(50):
            time.sleep(0.1)
            shutil.copy(pictures / "00.png", folder / f"{number}.png")
            if done.is_set():
                return

    done = threading.Event()
    thread = threading.Thread(target=copy_later)
    thread.start()
    assert next(stream).parent == folder
    done.set()
    thread.join()
    stream.close()
    assert threading.active_count() == before


def test_without_watchdog(bare_python: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Where the extra is not installed, the line says how to install it."""
    code = """
from pathlib import Path
from fmx_runtime.errors import BackendError
from fmx_runtime.watch import new_pictures
try:
    next(new_pictures(Path()))
except BackendError as error:
    print(error)
"""
    assert "pip install 'fmx-runtime[watch]'" in bare_python(code).stdout
