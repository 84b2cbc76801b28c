from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fmx_runtime.errors import ImageError
from fmx_runtime.images.decode import open_image
from fmx_runtime.sources import stdin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def send(monkeypatch: pytest.MonkeyPatch, *chunks: bytes) -> None:
    """Send bytes to stdin, in chunks, as a pipe does."""

    class Pipe(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:
            chunk = next(coming, b"")
            buffer[: len(chunk)] = chunk
            return len(chunk)

    coming: Iterator[bytes] = iter(chunks)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Pipe())))


@pytest.mark.parametrize("form", ["png", "jpeg", "webp", "gif", "bmp", "tiff", "ppm"])
@pytest.mark.parametrize("size", [(28, 28), (256, 10), (2560, 2570)])
def test_image(form: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """An image of any format is recognized by its first bytes, and read whole."""
    encoded = io.BytesIO()
    Image.new("RGB", size, "red").save(encoded, form)
    content = encoded.getvalue()
    for chunks in ([content], [content[:4096], content[4096:]], [content[:1], content[1:]]):
        send(monkeypatch, *(chunk[i : i + 8000] for chunk in chunks for i in range(0, len(chunk), 8000)))  # fmt: skip # noqa: E501
        sent = stdin.read()
        assert sent == content
    assert open_image(content, "RGB").size == size


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\0"])
@pytest.mark.parametrize("end", [True, False])
def test_paths(separator: bytes, end: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths end with a line end or NUL, wherever the chunks end; the last needs no end."""
    names = [b"a.png", b"shop/b c.jpg", b"caf\xe9.png", b"BM.bmp", b"-"]
    whole = separator.join(names) + separator * end
    expected = [os.fsdecode(name) for name in names]
    for at in range(1, len(whole)):
        send(monkeypatch, whole[:at], whole[at:])
        sent = stdin.read()
        assert not isinstance(sent, bytes)
        assert list(sent) == expected, at


@pytest.mark.parametrize(
    "name", ["BM.png", "BMW 320i.jpg", "GIF89.png", "P6.ppm", "II", "MM", "RIFF"]
)
def test_paths_that_begin_like_images(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Formats' first letters are no reason to take a list of such names for an image."""
    for separator in ("\n", "\0"):
        send(monkeypatch, f"{name}{separator}a.png{separator}".encode())
        assert list(stdin.read()) == [name, "a.png"]


def test_paths_with_line_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """If paths end with NUL, a line end is part of a path; empty lines are skipped."""
    send(monkeypatch, b"two\nlines.png\0b.png\0")
    assert list(stdin.read()) == ["two\nlines.png", "b.png"]
    send(monkeypatch, b"\n\na.png\n\n  \nb.png\n\n")
    assert list(stdin.read()) == ["a.png", "b.png"]


def test_paths_are_yielded_as_they_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path is yielded before the next one has arrived."""

    def coming() -> Iterator[bytes]:
        yield b"a.png\n"
        came.append("b")
        yield b"b.png\n"

    came: list[str] = []
    send(monkeypatch, *[])
    raw = sys.stdin.buffer.raw  # type: ignore[attr-defined]
    chunks = coming()
    raw.readinto = lambda buffer: _fill(buffer, next(chunks, b""))
    sent = iter(stdin.read())
    assert next(sent) == "a.png"
    assert came == []
    assert next(sent) == "b.png"


def _fill(buffer: bytearray, chunk: bytes) -> int:
    buffer[: len(chunk)] = chunk
    return len(chunk)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0", "is neither an image nor paths"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "is neither an image nor paths"),
        (np.random.default_rng(0).bytes(3000), "is neither an image nor paths"),
        (b"x" * 5000, "is neither an image nor paths"),
    ],
)
def test_neither_image_nor_paths(
    content: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other input is an error that says what is expected."""
    send(monkeypatch, *(content[i : i + 1000] for i in range(0, len(content), 1000)))
    with pytest.raises(ImageError, match=f"{message}.*PNG.*one per line"):
        stdin.read()


def test_endless_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path of more than 4,096 bytes is an error, and does not fill the memory."""
    send(monkeypatch, b"a.png\n", *[b"x" * 1000] * 10)
    sent = iter(stdin.read())
    assert next(sent) == "a.png"
    with pytest.raises(ImageError, match="longer than 4,096 bytes"):
        next(sent)


def test_endless_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image larger than the limit is refused before it fills the memory."""
    monkeypatch.setattr("fmx_runtime.images.limits.MAX_FILE_BYTES", 5000)
    send(monkeypatch, *[b"\x89PNG\r\n\x1a\n" + bytes(992)] * 10)
    with pytest.raises(ImageError, match="more than 5,000 bytes"):
        stdin.read()


def test_no_stdin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A closed stdin, or a folder in its place, is an error."""
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ImageError, match="is closed"):
        stdin.read()
    folder = os.open(tmp_path, os.O_RDONLY)

    class Folder(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:
            return len(os.read(folder, len(buffer)))

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Folder())))
    with pytest.raises(ImageError, match="cannot be read: Is a directory"):
        stdin.read()
    os.close(folder)
