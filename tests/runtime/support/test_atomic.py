from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fmx_runtime.errors import OutputError
from fmx_runtime.support import atomic

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path


def names(folder: Path) -> list[str]:
    """What is in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("content", "expected"), [("Öl\n", b"\xc3\x96l\n"), (b"\x00\xff", b"\x00\xff"), ("", b"")]
)
def test_write(content: str | bytes, expected: bytes, tmp_path: Path) -> None:
    """Text, as UTF-8, or bytes replace an earlier file, and no temporary file is left."""
    path = tmp_path / "result.json"
    path.write_bytes(b"a longer old content")
    atomic.write(path, content)
    assert path.read_bytes() == expected
    assert names(tmp_path) == ["result.json"]


def test_the_temporary_path(tmp_path: Path) -> None:
    """It is in the same folder, so that renaming is atomic, and has the same suffix."""
    path = tmp_path / "plot.png"
    with atomic.replacing(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == ".png"
        temporary.write_bytes(b"new")
        assert not path.exists()
    assert names(tmp_path) == ["plot.png"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file(failure: type[BaseException], tmp_path: Path) -> None:
    """After an exception the old content is unchanged and no temporary file is left."""
    path = tmp_path / "result.json"
    path.write_text("old", "utf-8")

    def half() -> None:
        with atomic.replacing(path) as temporary:
            temporary.write_text("half", "utf-8")
            raise failure

    with pytest.raises(failure):
        half()
    assert path.read_text("utf-8") == "old"
    assert names(tmp_path) == ["result.json"]


KILLED = """
import os, pathlib, signal, sys
from fmx_runtime.support import atomic
with atomic.replacing(pathlib.Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    """A process that is killed while writing leaves the old file unchanged."""
    path = tmp_path / "result.json"
    path.write_text("old", "utf-8")
    done = subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text("utf-8") == "old"


def test_content_is_synced_before_the_file_is_renamed(tmp_path: Path) -> None:
    """The content is on the disk before the file is renamed, so a power cut cannot empty it."""
    calls: list[str] = []

    def note(_: object, event: str, function: object) -> None:
        if event == "c_call":
            calls.append(getattr(function, "__name__", ""))

    sys.setprofile(note)
    try:
        atomic.write(tmp_path / "result.json", "new")
    finally:
        sys.setprofile(None)
    assert [call for call in calls if call in {"fsync", "replace"}] == ["fsync", "replace"]


def test_sync(tmp_path: Path) -> None:
    """Files and folders can be synced and keep their content; a missing file is an error."""
    (tmp_path / "file").write_text("kept", "utf-8")
    atomic.sync(tmp_path / "file")
    atomic.sync(tmp_path)
    assert (tmp_path / "file").read_text("utf-8") == "kept"
    with pytest.raises(FileNotFoundError):
        atomic.sync(tmp_path / "missing")


def test_as_output_error(tmp_path: Path) -> None:
    """A file that cannot be moved is an OutputError with the folder, the cause and the remedy."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("kept", "utf-8")
    refused = pytest.raises(OutputError, match="Is a directory; choose another")
    with refused as caught, atomic.as_output_error(tmp_path):
        (tmp_path / "file").replace(tmp_path / "folder")
    assert f"cannot write to '{tmp_path}'" in str(caught.value)
    with atomic.as_output_error(tmp_path):
        (tmp_path / "file").replace(tmp_path / "moved")
    assert names(tmp_path) == ["folder", "moved"]


def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    """A path below a file or a missing folder is an OutputError with the path and the remedy."""
    (tmp_path / "file").write_text("kept", "utf-8")
    for path in (tmp_path / "file" / "result.json", tmp_path / "gone" / "result.json"):
        with pytest.raises(OutputError, match="choose another place") as caught:
            atomic.write(path, "new")
        assert f"cannot write to '{path}'" in str(caught.value)
    assert (tmp_path / "file").read_text("utf-8") == "kept"


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    """A folder is not replaced by a file."""
    (tmp_path / "result.json" / "inside").mkdir(parents=True)
    with pytest.raises(OutputError, match="Is a directory"):
        atomic.write(tmp_path / "result.json", "new")
    assert names(tmp_path) == ["result.json"]
    assert names(tmp_path / "result.json") == ["inside"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110
def test_a_full_disk(tmp_path: Path) -> None:
    """A full device is an OutputError with the system's message."""

    def fill() -> None:
        with atomic.replacing(tmp_path / "result.json") as temporary:
            temporary.symlink_to("/dev/full")
            temporary.write_text("new", "utf-8")

    with pytest.raises(OutputError, match="No space left on device"):
        fill()
    assert names(tmp_path) == []


def test_make_folder(tmp_path: Path) -> None:
    """A folder is created with its parents; an existing one keeps its files."""
    folder = tmp_path / "a" / "b"
    assert atomic.make_folder(folder) == folder
    (folder / "kept").write_text("kept", "utf-8")
    assert atomic.make_folder(folder) == folder
    assert names(folder) == ["kept"]


def test_make_folder_at_a_file(tmp_path: Path) -> None:
    """A file, and a path below a file, are an OutputError."""
    (tmp_path / "file").write_text("", "utf-8")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match=f"cannot write to '{path}'"):
            atomic.make_folder(path)


def test_make_folder_checks_permission(
    tmp_path: Path, unprivileged_user: AbstractContextManager[None]
) -> None:
    """A folder without permission to write is an OutputError."""
    tmp_path.chmod(0o500)
    with unprivileged_user, pytest.raises(OutputError, match="Permission denied"):
        atomic.make_folder(tmp_path)
