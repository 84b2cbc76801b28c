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
    """The watched folder, with an image in it that is not new."""
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


def test_a_image_that_is_copied(folder: Path, images: Path, seen: Watch) -> None:
    """It is named once, and at once; nothing is said of the old one."""
    subprocess.run(["cp", images / "00.png", folder / "new.png"], check=True)
    assert seen(1.9) == folder / "new.png"
    assert seen(0.5) is None


def test_a_slow_writer(folder: Path, seen: Watch) -> None:
    """An image whose writer, another program, rests in between is named when it is closed."""
    path = folder / "slow.jpg"
    process = subprocess.Popen([sys.executable, "-c", SLOW_WRITER, path])
    assert seen(10) == path
    assert path.stat().st_size == 12
    assert process.wait() == 0
    assert seen(0.5) is None


def test_a_writer_that_opens_it_again(folder: Path, seen: Watch) -> None:
    """An image that is written in several steps shortly after each other is named once."""
    path = folder / "steps.jpg"
    subprocess.run([sys.executable, "-c", TWO_STEPS, path], check=True)
    assert seen(5) == path
    assert path.stat().st_size == 12
    assert seen(0.5) is None


def test_a_reader_is_no_writer(folder: Path, images: Path, seen: Watch) -> None:
    """A program that only looks at a new image neither hides it nor makes it new again."""
    shutil.copy(images / "00.png", folder / "new.png")
    with (folder / "new.png").open("rb"):
        assert seen(0.5) is None
    assert seen(1.9) == folder / "new.png"
    assert (folder / "new.png").read_bytes()
    assert seen(0.5) is None


def test_renamed_when_it_is_whole(folder: Path, images: Path, seen: Watch) -> None:
    """Copiers that write under another name, hidden or not, and then rename: once, in the end."""
    for partial, name in (
        (".new.png.Ab12", "new.png"),
        ("b.png.part", "b.png"),
        (".c.png", "c.png"),
    ):
        shutil.copy(images / "00.png", folder / partial)
        (folder / partial).rename(folder / name)
        assert seen(5) == folder / name
    assert seen(0.5) is None


def test_moved_from_elsewhere(folder: Path, images: Path, tmp_path: Path, seen: Watch) -> None:
    """An image, and a folder of images, moved there from outside are named at once, and once."""
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
    """Images in folders that were made a moment before are not lost, however they come there."""
    for name in ("a", "a/b", "a/b/c"):
        (folder / name).mkdir()
        shutil.copy(images / "00.png", folder / name / "x.png")
        (folder / name / "link.png").hardlink_to(images / "01.png")
    found = {seen(6) for _ in range(6)}
    names = ("x.png", "link.png")
    assert found == {folder / at / name for at in ("a", "a/b", "a/b/c") for name in names}


def test_folders_that_go_at_once(folder: Path, tmp_path: Path, seen: Watch) -> None:
    """Folders that are gone before anybody could look into them stop nothing."""
    for number in range(100):
        (tmp_path / "passing" / "below").mkdir(parents=True)
        (tmp_path / "passing" / "below" / "x.png").write_bytes(b"x")
        (tmp_path / "passing").rename(folder / f"{number}")
        shutil.rmtree(folder / f"{number}")
    (folder / "last.png").write_bytes(b"x")
    assert seen(5) == folder / "last.png"


def test_a_link_to_the_folder(folder: Path, tmp_path: Path) -> None:
    """A folder that is named by a link is watched, and its images are named by the link."""
    link = tmp_path / "link"
    link.symlink_to(folder)
    watch = Watch(link)
    time.sleep(0.5)
    (folder / "new.png").write_bytes(b"x")
    assert watch(2) == link / "new.png"
    watch.end()


def test_written_again(folder: Path, images: Path, seen: Watch) -> None:
    """An image that is overwritten is new again."""
    for name in ("00.png", "01.png"):
        shutil.copy(images / name, folder / "same.png")
        assert seen(5) == folder / "same.png"


def test_what_is_passed_over(folder: Path, images: Path, seen: Watch) -> None:
    """No text, nothing hidden, nothing empty, nothing that is gone again."""
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden").mkdir()
    shutil.copy(images / "00.png", folder / ".hidden" / "x.png")
    (folder / "empty.png").touch()
    shutil.copy(images / "00.png", folder / "last.png")
    assert seen(5) == folder / "last.png"
    assert seen(2.5) is None


def test_thousands_at_once(folder: Path, seen: Watch) -> None:
    """None of 3,000 images that come within machine_states is lost, and each is named once."""
    names = {f"{number}.png" for number in range(3000)}
    (folder / "many").mkdir()
    for name in names:
        (folder / "many" / name).write_bytes(b"image")
    assert {seen(5) for _ in names} == {folder / "many" / name for name in names}
    (folder / "many").rename(folder / "moved")
    assert {seen(5) for _ in names} == {folder / "moved" / name for name in names}
    assert seen(0.5) is None


def test_more_than_the_kernel_keeps(folder: Path, tmp_path: Path) -> None:
    """None is lost where so many come while nobody listens that the kernel drops its notes."""
    answers = tmp_path / "answers.txt"

    def heard() -> list[str]:
        return answers.read_text().splitlines()

    with (
        answers.open("w") as output,
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
def test_the_folder_goes(folder: Path, seen: Watch, again: bool) -> None:
    """When the folder itself is removed, one line says so, also if there is a new one."""
    shutil.rmtree(folder)
    if again:
        folder.mkdir()
    error = seen(5)
    assert isinstance(error, ImageError)
    assert str(error) == (
        f"folder '{folder}' is not there any longer, or is another one now: watch it again"
    )


def test_no_such_folder(
    tmp_path: Path, nobody: contextlib.AbstractContextManager[None], folder: Path
) -> None:
    """What is not there, is no folder or may not be read cannot be watched; one line says so."""
    (tmp_path / "file").touch()
    for name, why in (("gone", "No such file or directory"), ("file", "Not a directory")):
        with pytest.raises(ImageError, match=f"{name}' cannot be watched: {why}"):
            next(new_images(tmp_path / name))
    folder.chmod(0)
    with nobody, pytest.raises(ImageError, match="in' cannot be watched: Permission denied"):
        next(new_images(folder))


def test_it_ends_cleanly(folder: Path, images: Path) -> None:
    """When the watch is closed, no thread is left."""
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
    """Where the extra is not installed, the line says how to install it."""
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
