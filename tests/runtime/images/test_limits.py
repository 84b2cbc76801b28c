"""Limits, one by one; whole files that do harm are in test_hostile_images.py."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import Image

from fmx_runtime.errors import ImageError
from fmx_runtime.images import limits


@pytest.mark.parametrize(
    ("size", "fits"),
    [
        ((1 << 13, 1 << 14), True),
        ((1 << 14, 1 << 14), False),
        ((65_535, 1), True),
        ((1, 65_536), False),
    ],
)
def test_size(size: tuple[int, int], fits: bool) -> None:
    """134 megapixels and 65535 pixels a side are allowed, more are not."""
    if fits:
        limits.check_size(size)
    else:
        with pytest.raises(ImageError, match=f"is too large \\({size[0]}x{size[1]}, at most 134 "):
            limits.check_size(size)


def test_memory() -> None:
    """A quarter of a gigabyte is allowed, more is not."""
    limits.check_memory(1 << 28, (10, 10))
    with pytest.raises(ImageError, match=r"takes too much to decode \(10x10\): save it smaller"):
        limits.check_memory((1 << 28) + 1, (10, 10))


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (3, 1000), (1000, 16_383)])
def test_webp_size(size: tuple[int, int], lossless: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size in the header of each kind of WebP file is understood."""
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, "WEBP", lossless=lossless, quality=0, method=0)
    checked: list[tuple[int, int]] = []
    monkeypatch.setattr(limits, "check_size", checked.append)
    monkeypatch.setattr(limits, "check_memory", lambda *_: None)
    limits.check_webp_header(buffer.getvalue())
    width, height = size
    extended = b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4)
    extended += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    limits.check_webp_header(extended)
    assert checked == [size, size]


def test_tiff_tags() -> None:
    """As many values as honest files have are allowed; more, also in a subdirectory, are not."""

    def directory(*tags: tuple[int, int, int, int]) -> bytes:
        entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
        return struct.pack("<H", len(tags)) + entries + bytes(4)

    header = b"II*\0" + struct.pack("<I", 8)
    limits.check_tiff_tags(header + directory((270, 2, 1 << 24, 0), (273, 4, 1 << 18, 0)))
    for tag in ((270, 2, (1 << 24) + 1, 0), (273, 4, (1 << 18) + 1, 0)):
        with pytest.raises(ImageError, match="has TIFF tags that are too large"):
            limits.check_tiff_tags(header + directory(tag))
        first = directory((34665, 4, 1, 0))
        first = directory((34665, 4, 1, 8 + len(first)))
        with pytest.raises(ImageError, match="has TIFF tags that are too large"):
            limits.check_tiff_tags(header + first + directory(tag))


def test_reading_is_bounded() -> None:
    """A header is read in few calls; pixels may take many more."""
    file = limits.BoundedFile(bytes(100))
    for _ in range(10_000):
        file.seek(0)
        file.read(1)
    with pytest.raises(OSError, match="too many parts"):
        file.read(1)
    file.allow_pixels()
    for _ in range(20_000):
        file.seek(0)
        file.read(1)
