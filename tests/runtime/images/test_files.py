from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import pytest

from fmx_runtime.errors import ImageError
from fmx_runtime.images.decode import ImageLike, open_image
from fmx_runtime.images.formats import SUPPORTED_FORMATS


def refusal(image: ImageLike) -> str:
    """Return the error message, one line, for an image that is refused."""
    with pytest.raises(ImageError) as caught:
        open_image(image, "L")
    (line,) = str(caught.value).splitlines()
    return line


def test_paths_without_an_image(tmp_path: Path) -> None:
    """Each kind of wrong path has its own message, which says what to do."""
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("gone")
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("no image", "utf-8")
    expected = {
        "gone": "does not exist: check the path",
        "dangling": "does not exist: check the path",
        "text/in it": "cannot be opened: Not a directory: check the path",
        "loop": "is a symbolic link that leads back to itself: give the path of the image",
        "empty": "is empty: copy the image again",
        "text": f"is not an image in a supported format: save it as {SUPPORTED_FORMATS}",
        ".": "is a folder, not an image: give the path of an image in it",
    }
    for name, message in expected.items():
        path = f"{tmp_path}/{name}"
        assert refusal(path) == f"'{path}' {message}"
    assert refusal("a\0b").startswith(r"'a\x00b' is not a valid file name (")
    assert refusal("two\nlines\x1b") == r"'two\nlines\x1b' does not exist: check the path"
    assert "File name too long" in refusal("a" * 300)
    assert len(refusal("a" * 100_000)) < 600


def test_pipes_sockets_and_devices_are_refused(tmp_path: Path) -> None:
    """Pipes without a writer, sockets and endless devices are refused at once."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to("pipe.png")
    for name in ("pipe.png", "link.png"):
        path = tmp_path / name
        message = "is a pipe, not an image: read it with 'fmx-run - < PIPE'"
        assert refusal(path) == f"'{path}' {message}"
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(tmp_path / "s"))
        assert refusal(tmp_path / "s").endswith(
            "is a socket, not an image: give the path of an image file"
        )
    for device in ("/dev/zero", "/dev/random", "/dev/null"):
        assert (
            refusal(device)
            == f"'{device}' is a device, not an image: give the path of an image file"
        )


def test_huge_files_are_not_read(tmp_path: Path) -> None:
    """A file of a terabyte is refused by its size, and no file stays open."""
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(1 << 40)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        message = refusal(tmp_path / "large.png")
        refusal(tmp_path)
    assert message.endswith("(1,099,512 MB, at most 67 MB): save a smaller image")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
