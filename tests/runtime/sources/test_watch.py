from __future__ import annotations

import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from fmx_runtime.errors import ImageError
from fmx_runtime.sources.watch import new_images

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytest.importorskip("watchdog")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder to watch, with an image in it that is not new."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "old.png").write_bytes(b"old")
    return folder


class Watch:
    """A watch in its own thread; calling it returns what comes in time, or None."""

    def __init__(self, folder: Path) -> None:
        """Begin it."""
        self._folder = folder
        self._found: queue.Queue[Path | Exception] = queue.Queue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        stream = new_images(self._folder)
        try:
            for path in stream:
                if self._stop.is_set():
                    return
                self._found.put(path)
        except ImageError as error:
            self._found.put(error)
        finally:
            stream.close()  # type: ignore[attr-defined]

    def __call__(self, seconds: float) -> Path | Exception | None:
        """The next image, or the error that ended it; None if nothing comes in time."""
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
    """Return the started watch of the folder."""
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
    for pause in (0.2, 2.5, 0.2):
        file.write(b"part")
        file.flush()
        time.sleep(pause)
"""

TWO_STEPS = """
import sys, time
for _ in range(3):
    with open(sys.argv[1], "ab") as file:
        file.write(b"part")
    time.sleep(0.01)
"""

WATCH = """
import sys
from pathlib import Path
from fmx_runtime.sources.watch import new_images
for path in new_images(Path(sys.argv[1])):
    print(path.name, flush=True)
"""


def test_copied_image(folder: Path, images: Path, seen: Watch) -> None:
    """A copied image is yielded once, and at once; the old one is not."""
    subprocess.run(["cp", images / "00.png", folder / "new.png"], check=True)
    assert seen(1.9) == folder / "new.png"
    assert seen(0.5) is None


def test_slow_writer(folder: Path, seen: Watch) -> None:
    """An image is yielded when its writer closes it, even after pauses."""
    path = folder / "slow.jpg"
    process = subprocess.Popen([sys.executable, "-c", SLOW_WRITER, path])
    assert seen(10) == path
    assert path.stat().st_size == 12
    assert process.wait() == 0
    assert seen(0.5) is None


def test_writer_that_reopens_the_file(folder: Path, seen: Watch) -> None:
    """An image written in several quick steps is yielded once."""
    path = folder / "steps.jpg"
    subprocess.run([sys.executable, "-c", TWO_STEPS, path], check=True)
    assert seen(5) == path
    assert path.stat().st_size == 12
    assert seen(0.5) is None


def test_readers_do_not_matter(folder: Path, images: Path, seen: Watch) -> None:
    """A program that only reads a new image neither hides it nor makes it new again."""
    shutil.copy(images / "00.png", folder / "new.png")
    with (folder / "new.png").open("rb"):
        assert seen(0.5) is None
    assert seen(1.9) == folder / "new.png"
    assert (folder / "new.png").read_bytes()
    assert seen(0.5) is None


def test_renamed_when_complete(folder: Path, images: Path, seen: Watch) -> None:
    """An image written under another name and then renamed is yielded once, at the end."""
    for partial, name in (
        (".new.png.Ab12", "new.png"),
        ("b.png.part", "b.png"),
        (".c.png", "c.png"),
    ):
        shutil.copy(images / "00.png", folder / partial)
        (folder / partial).rename(folder / name)
        assert seen(5) == folder / name
    assert seen(0.5) is None


def test_moved_into_the_folder(folder: Path, images: Path, tmp_path: Path, seen: Watch) -> None:
    """An image or a folder moved into the folder is yielded at once, and once."""
    shutil.copy(images / "00.png", tmp_path / "one.png")
    (tmp_path / "one.png").rename(folder / "one.png")
    assert seen(1.5) == folder / "one.png"
    shutil.copytree(images, tmp_path / "many")
    (tmp_path / "many").rename(folder / "many")
    names = [seen(1.5) for _ in images.iterdir()]
    assert names == sorted(folder / "many" / path.name for path in images.iterdir())
    shutil.copy(images / "00.png", folder / "many" / "later.png")
    assert seen(1.5) == folder / "many" / "later.png"
    assert seen(2.5) is None


def test_new_folders(folder: Path, images: Path, seen: Watch) -> None:
    """Images in folders that were just created are not lost."""
    for name in ("a", "a/b", "a/b/c"):
        (folder / name).mkdir()
        shutil.copy(images / "00.png", folder / name / "x.png")
        (folder / name / "link.png").hardlink_to(images / "01.png")
    found = {seen(6) for _ in range(6)}
    names = ("x.png", "link.png")
    assert found == {folder / at / name for at in ("a", "a/b", "a/b/c") for name in names}


def test_short_lived_folders(folder: Path, tmp_path: Path, seen: Watch) -> None:
    """Folders that are gone before they can be read do no harm."""
    for number in range(100):
        (tmp_path / "passing" / "below").mkdir(parents=True)
        (tmp_path / "passing" / "below" / "x.png").write_bytes(b"x")
        (tmp_path / "passing").rename(folder / f"{number}")
        shutil.rmtree(folder / f"{number}")
    (folder / "last.png").write_bytes(b"x")
    assert seen(5) == folder / "last.png"


def test_link_to_the_folder(folder: Path, tmp_path: Path) -> None:
    """A folder given by a link is watched, and its images have paths below the link."""
    link = tmp_path / "link"
    link.symlink_to(folder)
    watch = Watch(link)
    time.sleep(0.5)
    (folder / "new.png").write_bytes(b"x")
    assert watch(2) == link / "new.png"
    watch.end()


def test_overwritten_image(folder: Path, images: Path, seen: Watch) -> None:
    """An image that is overwritten is new again."""
    for name in ("00.png", "01.png"):
        shutil.copy(images / name, folder / "same.png")
        assert seen(5) == folder / "same.png"


def test_skipped_files(folder: Path, images: Path, seen: Watch) -> None:
    """Other files, hidden ones, empty ones and deleted ones are skipped."""
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden").mkdir()
    shutil.copy(images / "00.png", folder / ".hidden" / "x.png")
    (folder / "empty.png").touch()
    shutil.copy(images / "00.png", folder / "last.png")
    assert seen(5) == folder / "last.png"
    assert seen(2.5) is None


def test_thousands_at_once(folder: Path, seen: Watch) -> None:
    """None of 3,000 images that arrive at once is lost or yielded twice."""
    names = {f"{number}.png" for number in range(3000)}
    (folder / "many").mkdir()
    for name in names:
        (folder / "many" / name).write_bytes(b"image")
    assert {seen(5) for _ in names} == {folder / "many" / name for name in names}
    (folder / "many").rename(folder / "moved")
    assert {seen(5) for _ in names} == {folder / "moved" / name for name in names}
    assert seen(0.5) is None


def test_more_events_than_the_kernel_keeps(folder: Path, tmp_path: Path) -> None:
    """No image is lost if so many arrive unread that the kernel drops events."""
    output_file = tmp_path / "paths.txt"

    def heard() -> list[str]:
        return output_file.read_text().splitlines()

    with (
        output_file.open("w") as output,
        subprocess.Popen([sys.executable, "-c", WATCH, folder], stdout=output) as process,
    ):
        while not heard():
            (folder / "begin.png").write_bytes(b"x")
            time.sleep(0.5)
        process.send_signal(signal.SIGSTOP)
        names = {f"{number}.png" for number in range(12_000)}  # three events each
        for name in names:
            (folder / name).write_bytes(b"image")
        process.send_signal(signal.SIGCONT)
        latest = time.monotonic() + 30
        while len(heard()) <= len(names) and time.monotonic() < latest:
            time.sleep(0.1)
        process.kill()
    assert names <= set(heard())


@pytest.mark.parametrize("again", [False, True])
def test_removed_folder(folder: Path, seen: Watch, again: bool) -> None:
    """If the folder is removed, even if it is created anew, one line says so."""
    shutil.rmtree(folder)
    if again:
        folder.mkdir()
    error = seen(5)
    assert isinstance(error, ImageError)
    assert str(error) == (f"folder '{folder}' was removed or replaced: start watching it again")


def test_folders_that_cannot_be_watched(
    tmp_path: Path, unprivileged_user: contextlib.AbstractContextManager[None], folder: Path
) -> None:
    """A missing folder, a file and an unreadable folder are errors in one line."""
    (tmp_path / "file").touch()
    for name, why in (("gone", "No such file or directory"), ("file", "Not a directory")):
        with pytest.raises(ImageError, match=f"{name}' cannot be watched: {why}"):
            next(new_images(tmp_path / name))
    folder.chmod(0)
    with (
        unprivileged_user,
        pytest.raises(ImageError, match="in' cannot be watched: Permission denied"),
    ):
        next(new_images(folder))


def test_close(folder: Path, images: Path) -> None:
    """Closing the stream ends all threads."""
    before = threading.active_count()
    stream = new_images(folder)

    def copy_later() -> None:
        for number in range(50):
            time.sleep(0.1)
            shutil.copy(images / "00.png", folder / f"{number}.png")
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
    """If the extra is not installed, the message says how to install it."""
    code = """
from pathlib import Path
from fmx_runtime.errors import BackendError
from fmx_runtime.sources.watch import new_images
try:
    next(new_images(Path()))
except BackendError as error:
    print(error)
"""
    assert "pip install 'fmx-runtime[watch]'" in bare_python(code).stdout
