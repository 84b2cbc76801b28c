from __future__ import annotations

import io
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fmx_runtime.errors import ImageError
from fmx_runtime.images.decode import ImageLike, open_image

if TYPE_CHECKING:
    from pathlib import Path

# every level from 0 to 255 once, in 16 rows
LEVELS = np.arange(256, dtype=np.uint8).reshape(16, 16)


RED_HALF = np.zeros((16, 16, 3), np.uint8)
RED_HALF[:, 8:] = (200, 10, 30)


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """Return the image as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def refusal(image: ImageLike) -> str:
    """Return the error message, one line, for an image that is refused."""
    with pytest.raises(ImageError) as caught:
        open_image(image, "L")
    (line,) = str(caught.value).splitlines()
    return line


@pytest.mark.parametrize(
    "content",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n",
        b"%PDF-1.4\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        encoded(Image.fromarray(LEVELS), "ICO"),
        encoded(Image.fromarray(LEVELS), "TGA"),
        encoded(Image.fromarray(LEVELS), "PCX"),
        encoded(Image.fromarray(RED_HALF), "JPEG2000"),
    ],
)
def test_other_formats_are_refused(content: bytes, tmp_path: Path) -> None:
    """Files of other formats are refused, even if they are named like an image."""
    path = tmp_path / "image.png"
    path.write_bytes(content)
    assert "is not an image in a supported format: save it as" in refusal(path)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_wrong_extension(form: str, tmp_path: Path) -> None:
    """An image is recognized by its bytes, whatever its extension."""
    path = tmp_path / ("image.eps" if form == "PNG" else "image.png")
    path.write_bytes(encoded(Image.fromarray(RED_HALF), form))
    pixels = np.asarray(open_image(path, "RGB"))
    assert np.array_equal(pixels, np.asarray(open_image(path.read_bytes(), "RGB")))
    assert pixels[8, 12, 0] > 150


def test_only_the_needed_plugin_is_imported(tmp_path: Path) -> None:
    """Opening a PNG file loads no other decoder, least of all Ghostscript's."""
    path = tmp_path / "image.png"
    Image.fromarray(LEVELS).save(path)
    code = """
import sys
from fmx_runtime.images.decode import open_image
open_image(sys.argv[1], "L")
print(sorted(x for x in sys.modules if x.endswith("ImagePlugin")))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert done.stdout == "['PIL.PngImagePlugin']\n"
