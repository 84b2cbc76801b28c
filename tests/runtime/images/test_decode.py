from __future__ import annotations

import contextlib
import io
import logging
import struct
import threading
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageFile

from fmx_runtime.errors import ImageError
from fmx_runtime.images.decode import ImageLike, open_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


# every level from 0 to 255 once, in 16 rows
LEVELS = np.arange(256, dtype=np.uint8).reshape(16, 16)


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """Return the image as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def gray(source: ImageLike) -> NDArray[np.uint8]:
    """Return what is opened in gray, as an array."""
    return np.asarray(open_image(source, "L"))


def tiff(pixels: NDArray[np.generic], sample_format: int) -> bytes:
    """Return an uncompressed gray TIFF file, little-endian."""
    height, width = pixels.shape
    tags = {
        256: width,
        257: height,
        258: pixels.itemsize * 8,
        259: 1,
        262: 1,
        273: 8 + 2 + 12 * 9 + 4,
        278: height,
        279: pixels.nbytes,
        339: sample_format,
    }
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    return head + directory + bytes(4) + pixels.tobytes()


def animated(form: str) -> bytes:
    """Return the gray levels, followed by two other frames or pages."""
    frames = [Image.fromarray(LEVELS)] + [Image.fromarray(LEVELS.T // x) for x in (2, 3)]
    options = {"lossless": True} if form == "WEBP" else {}
    return encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame_is_taken(form: str) -> None:
    """The first frame or page is opened, whatever follows it."""
    file = animated(form)
    with Image.open(io.BytesIO(file)) as image:
        assert image.n_frames == 3
    assert np.array_equal(gray(file), LEVELS)
    if form == "GIF":
        assert np.array_equal(gray(file[:-150]), LEVELS)
        assert np.array_equal(gray(file[:-150] + bytes(150)), LEVELS)


def test_inputs_are_not_changed() -> None:
    """A Pillow image that is given stays as it is."""
    image = Image.fromarray(LEVELS).convert("RGBA")
    image.getexif()[274] = 3
    before = image.tobytes()
    open_image(image, "L", 4)
    assert (image.mode, image.size, image.tobytes()) == ("RGBA", (16, 16), before)
    assert image.getexif()[274] == 3


def files_with_warnings() -> list[bytes]:
    """Return files that Pillow warns about, or logs errors about."""
    good = tiff(LEVELS, 1)
    tag = struct.Struct("<HHII").pack
    long = good.replace(tag(339, 4, 1, 1), tag(339, 2, 1 << 20, 1 << 30))
    deep = good.replace(tag(339, 4, 1, 1), tag(277, 4, 1, 9999))
    return [long, deep]


@pytest.mark.filterwarnings("always")
def test_pillow_messages_are_suppressed(caplog: pytest.LogCaptureFixture) -> None:
    """Pillow's warnings and log messages are suppressed in all threads, while decoding only."""
    files = files_with_warnings()

    def by_pillow() -> None:
        for file in files:
            with contextlib.suppress(Exception), Image.open(io.BytesIO(file)) as image:
                image.load()

    def by_us() -> None:
        for file in files * 20:
            with contextlib.suppress(ImageError):
                open_image(file, "L")

    def count_messages(work: Callable[[], None]) -> tuple[int, int]:
        caplog.clear()
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            filters = list(warnings.filters)
            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert warnings.filters == filters
        return len(warned), sum(x.levelno >= logging.WARNING for x in caplog.records)

    warned, logged = count_messages(by_pillow)
    assert warned > 0
    assert logged > 0
    assert count_messages(by_us) == (0, 0)
    assert count_messages(by_pillow) == (warned, logged)


def test_pillow_settings_are_not_changed() -> None:
    """The settings of Pillow belong to the whole process and stay as they are."""
    names = (
        (Image, "MAX_IMAGE_PIXELS"),
        (ImageFile, "LOAD_TRUNCATED_IMAGES"),
        (ImageFile, "MAXBLOCK"),
    )
    before = [getattr(module, name) for module, name in names]
    open_image(encoded(Image.new("1", (9600, 9600))), "L", 100)
    assert [getattr(module, name) for module, name in names] == before
    assert before[1] is False
