from __future__ import annotations

import hashlib
import io
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image, ImageDraw, ImageOps

from fmx_runtime.images.garment_segmentation import (
    _garment_mask,
    _working_copy,
    is_photo,
    segment_garment,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmx_training.data.dataset import Splits

PHOTOS = Path(__file__).parents[4] / "shared" / "photos"

Box = tuple[int, int, int, int]

with_photos = pytest.mark.skipif(
    not PHOTOS.is_dir(), reason="there are no photos beside the checkout"
)


def grain(width: int, height: int, color: tuple[int, int, int], depth: int) -> NDArray[np.int64]:
    """Return a background of that color on average, with noise and a gradient."""
    count = np.arange(width * height, dtype=np.int64).reshape(height, width, 1)
    dice = count * 2_654_435_761 % 2**32 // 2**16
    noise = dice % (2 * depth + 1) - depth
    shade = (np.arange(width) * 30 // width - 15)[np.newaxis, :, np.newaxis]
    return np.array(color) + noise + shade


def draw_garment(
    garment: tuple[int, int, int], background: tuple[int, int, int], box: Box, depth: int = 20
) -> tuple[Image.Image, NDArray[np.bool_]]:
    """Return a photo, 120x160, of a T-shirt in that box, and the true mask."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    # in percent of the box, the right half
    half = [(15, 0), (50, 22), (40, 40), (28, 30), (28, 100)]
    outline = [(50 + x, y) for x, y in half] + [(50 - x, y) for x, y in reversed(half)]
    shape = Image.new("1", (120, 160))
    ImageDraw.Draw(shape).polygon(
        [(left + x * (width - 1) // 100, top + y * (height - 1) // 100) for x, y in outline], fill=1
    )
    where = np.asarray(shape)
    cloth = grain(120, 160, garment, 12)[::-1]
    image = np.where(where[:, :, np.newaxis], cloth, grain(120, 160, background, depth))
    return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)), where


RED, BLACK, WHITE = (190, 40, 50), (25, 25, 28), (235, 235, 230)
WOOD, CARPET, LAWN = (170, 120, 70), (150, 150, 155), (70, 120, 50)


@given(image=npst.arrays(np.uint8, st.tuples(st.integers(1, 70), st.integers(1, 70), st.just(3))))
@example(image=np.zeros((1, 1, 3), np.uint8))
@example(image=np.full((1, 4000, 3), 128, np.uint8))
@example(image=np.full((4000, 3, 3), 255, np.uint8))
def test_any_image(image: NDArray[np.uint8]) -> None:
    """Any image, however thin, gives a part of itself, and the same part again."""
    decoded = Image.fromarray(image)
    segmented = segment_garment(decoded)
    assert segmented.mode == "RGB"
    assert all(1 <= side <= most for side, most in zip(segmented.size, decoded.size, strict=True))
    assert segmented.tobytes() == segment_garment(decoded).tobytes()
    assert is_photo(decoded) in {True, False}


@pytest.mark.parametrize("background", [WOOD, CARPET, LAWN])
@pytest.mark.parametrize("garment", [RED, BLACK, WHITE])
@pytest.mark.parametrize("box", [(20, 30, 100, 130), (10, 10, 70, 90), (5, 40, 115, 160)])
def test_drawn_garments(
    garment: tuple[int, int, int], background: tuple[int, int, int], box: Box
) -> None:
    """A T-shirt on a noisy background is segmented: in the middle, aside, or at the border."""
    image, where = draw_garment(garment, background, box)
    found = Image.fromarray(_garment_mask(_working_copy(image))).resize(image.size)
    both = np.count_nonzero(np.asarray(found) & where)
    either = np.count_nonzero(np.asarray(found) | where)
    assert both / either > 0.9
    segmented = segment_garment(image)
    assert segmented.width == pytest.approx(box[2] - box[0], abs=6)
    assert segmented.height == pytest.approx(box[3] - box[1], abs=5)


@pytest.mark.parametrize(("garment", "least", "most"), [(BLACK, 200, 255), (WHITE, 40, 60)])
def test_garment_is_inverted_on_black(garment: tuple[int, int, int], least: int, most: int) -> None:
    """Black cloth is bright, white cloth remains visible, and the background is black."""
    image, _ = draw_garment(garment, LAWN, (20, 30, 100, 130))
    segmented = np.asarray(segment_garment(image).convert("L"))
    middle = segmented[40:60, 30:50]
    assert least <= middle.min()
    assert middle.mean() <= most
    assert not segmented[-10:, :8].any()


def test_images_of_one_color() -> None:
    """An image of a single color is returned whole, inverted."""
    image = Image.new("RGB", (120, 160), WOOD)
    assert segment_garment(image).tobytes() == ImageOps.invert(image).tobytes()


def test_large_photos() -> None:
    """Twelve megapixels take less than ten times the time of a small photo."""
    decoded, _ = draw_garment(RED, WOOD, (20, 30, 100, 130))
    large = decoded.resize((3000, 4000))
    times = {image.size: min(_seconds(image) for _ in range(3)) for image in (decoded, large)}
    assert times[large.size] < 10 * times[decoded.size]
    segmented = segment_garment(large)
    assert max(segmented.size) < 768
    assert segmented.height / segmented.width == pytest.approx(100 / 80, abs=0.05)


def _seconds(image: Image.Image) -> float:
    start = time.process_time()
    segment_garment(image)
    return time.process_time() - start


@pytest.mark.parametrize("background", ["black", "white"])
@pytest.mark.parametrize("resampling", [None, *Image.Resampling])
def test_dataset_images_are_not_photos(
    resampling: Image.Resampling | None, background: str, splits: Splits
) -> None:
    """No Fashion-MNIST image is taken for a photo: enlarged or not, on black or on white."""
    images = splits.test.images[:1500, :, :, 0]
    for pixels in images if background == "black" else 255 - images:
        image = Image.fromarray(pixels)
        if resampling is not None:
            image = image.resize((140, 140), resampling)
        assert not is_photo(image)


def test_dataset_images_as_jpeg_are_not_photos(splits: Splits) -> None:
    """JPEG noise does not make a photo of a plain background."""
    for pixels in splits.test.images[:300, :, :, 0]:
        buffer = io.BytesIO()
        Image.fromarray(pixels).resize((200, 200)).save(buffer, "JPEG", quality=60)
        assert not is_photo(Image.open(buffer))


@with_photos
def test_real_photos_are_photos() -> None:
    """At least 98 % of real photos are taken for photos."""
    are_photos = [is_photo(Image.open(path)) for path in sorted(PHOTOS.glob("validation/*/*.jpg"))]
    assert len(are_photos) > 300
    assert np.mean(are_photos) >= 0.98


# drawn by eye: left, top, right and bottom of the garment
BOXES = {
    "hat/7bfaa9c2-d467-4627-9ff4-233075aa65d4.jpg": (8, 43, 84, 124),
    "hat/d56b676e-1f28-4c56-96d6-070237e2a43f.jpg": (15, 31, 97, 145),
    "longsleeve/7a20924e-30a3-49e9-8d9f-417c163ea444.jpg": (6, 40, 114, 122),
    "outwear/80ea2b05-080f-45f8-afe7-5a09b5071144.jpg": (16, 13, 105, 152),
    "skirt/ad82f227-e35f-4268-a6e3-ef417bf96656.jpg": (13, 50, 105, 122),
    "shoes/dc0d9ba1-165e-46d8-bdb1-fba1d753ead8.jpg": (3, 40, 114, 155),
    "t-shirt/5ab59471-f2f5-4ff9-a106-3de7044fbfd2.jpg": (1, 30, 115, 129),
    "t-shirt/8d3ec813-014f-4a8b-ab08-bc21dfb9823e.jpg": (8, 21, 115, 122),
}


@with_photos
@pytest.mark.parametrize("name", BOXES)
def test_bounding_boxes_in_real_photos(name: str) -> None:
    """On floors, beds and walls, the bounding box is within 6 pixels of one drawn by eye."""
    left, top, right, bottom = BOXES[name]
    segmented = segment_garment(Image.open(PHOTOS / "validation" / name).convert("RGB"))
    assert segmented.width == pytest.approx(right - left, abs=6)
    assert segmented.height == pytest.approx(bottom - top, abs=6)


def test_result_is_pinned() -> None:
    """The same photo gives the same bytes in every version and on every machine."""
    image, _ = draw_garment(RED, CARPET, (20, 30, 100, 130), depth=40)
    segmented = segment_garment(image.resize((900, 1200), Image.Resampling.NEAREST))
    digest = hashlib.sha256(repr(segmented.size).encode() + segmented.tobytes()).hexdigest()
    assert digest[:16] == "106ed2c27caf2ef2"
