from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmx_training.data.augmentation import Augmentation, View


def images(count: int, height: int, width: int, channels: int) -> np.ndarray:
    """Images of random pixels, none of them black."""
    shape = (count, height, width, channels)
    return np.random.default_rng(0).integers(1, 256, shape, np.uint8)


EVERYTHING = Augmentation(shift=0.1, flip=True, erase=0.5, crop=0.5, color_jitter=0.2, mixup=0.5)


@given(
    count=st.integers(1, 20),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([1, 3]),
    seed=st.tuples(st.integers(0, 99), st.integers(0, 99)),
)
def test_a_view_is_the_same_in_any_order(
    count: int, height: int, width: int, channels: int, seed: tuple[int, int]
) -> None:
    """A changed image keeps its size, and does not depend on the other images of a batch."""
    pixels = images(count, height, width, channels)
    before = pixels.copy()
    view = View(pixels, EVERYTHING, seed)
    everything = view[np.arange(count)]
    assert everything.shape == pixels.shape
    assert everything.dtype == np.uint8
    assert np.array_equal(pixels, before)
    order = np.random.default_rng(1).permutation(count)
    again = View(pixels, EVERYTHING, seed)
    assert np.array_equal(again[order], everything[order])
    assert len(view) == count


def test_the_default_changes_nothing() -> None:
    """Without augmentation, images stay as they are."""
    pixels = images(50, 9, 7, 3)
    assert np.array_equal(View(pixels, Augmentation(), (0,))[np.arange(50)], pixels)


def test_seeds_differ() -> None:
    """Another seed changes the images in another way."""
    pixels, everything = images(50, 28, 28, 1), np.arange(50)
    first, second = (View(pixels, EVERYTHING, (seed,))[everything] for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_shifts() -> None:
    """Images are shifted in all directions by up to the given share; uncovered pixels are black."""
    pixels, everything = images(400, 20, 20, 1), np.arange(400)
    moved = View(pixels, Augmentation(shift=0.1), (0,))[everything]
    seen = set()
    for image, shown in zip(pixels[..., 0], moved[..., 0], strict=True):
        padded = np.pad(image, 2)
        places = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if np.array_equal(padded[y : y + 20, x : x + 20], shown)
        ]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) == 25


def test_half_are_flipped() -> None:
    """Half of the images are flipped horizontally."""
    pixels, everything = images(1000, 6, 5, 3), np.arange(1000)
    shown = View(pixels, Augmentation(flip=True), (0,))[everything]
    mirrored = (shown == pixels[:, :, ::-1]).all(axis=(1, 2, 3))
    same = (shown == pixels).all(axis=(1, 2, 3))
    assert (mirrored ^ same).all()
    assert 430 < mirrored.sum() < 570


def test_rectangles_are_erased() -> None:
    """The given share of images has a rectangle of noise, not larger than the given area."""
    pixels, everything = np.zeros((1000, 28, 28, 1), np.uint8), np.arange(1000)
    shown = View(pixels, Augmentation(erase=0.3, erase_area=0.2), (0,))[everything]
    touched = shown.any(axis=(1, 2, 3))
    assert 240 < touched.sum() < 360
    for image in shown[touched][..., 0]:
        rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
        area = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
        assert area <= 0.24 * 784  # sides are rounded
        assert len(np.unique(image)) > min(10, area / 4)  # noise, not one color


def test_crops_are_enlarged() -> None:
    """A horizontal ramp stays a ramp, and spans fewer values in a crop."""
    ramp = np.broadcast_to(np.linspace(0, 255, 32).astype(np.uint8), (200, 32, 32))[..., None]
    shown = View(np.ascontiguousarray(ramp), Augmentation(crop=0.3), (0,))[np.arange(200)]
    spans = np.ptp(shown[:, 0, :, 0].astype(int), axis=1)
    assert (np.diff(shown[:, 0, :, 0].astype(int), axis=1) >= 0).all()
    assert spans.min() < 150
    assert spans.max() > 230


@pytest.mark.parametrize("channels", [1, 3])
def test_color_jitter_keeps_the_order_of_values(channels: int) -> None:
    """Brightness, contrast and colors change by a curve that never falls."""
    pixels = np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None], (100, 1, 256, channels))
    pixels = np.ascontiguousarray(np.broadcast_to(pixels, (100, 1, 256, channels)))
    shown = View(pixels, Augmentation(color_jitter=0.3), (0,))[np.arange(100)].astype(int)
    assert (np.diff(shown, axis=2) >= 0).all()
    means = shown.mean(axis=(1, 2))
    assert means.max() - means.min() > 40
    assert channels == 1 or np.abs(means[:, 0] - means[:, 1]).max() > 5


def test_mixup_mixes_targets_too() -> None:
    """The weight of a blended image is its weight in the target, at most one half."""
    pixels = np.repeat(np.array([0, 200], np.uint8), 500)[:, None, None, None]
    pixels = np.ascontiguousarray(np.broadcast_to(pixels, (1000, 4, 4, 1)))
    targets = np.repeat(np.eye(2, dtype=np.float32), 500, axis=0)
    view = View(pixels, Augmentation(mixup=0.6), (0,))
    shown, mixed = view[np.arange(1000)][:, 0, 0, 0], view.mix_targets(targets)
    assert np.allclose(mixed.sum(axis=1), 1)
    assert np.abs(shown / 200 - mixed[:, 1]).max() < 0.003
    own = (mixed * targets).sum(axis=1)
    assert own.min() >= 0.5
    assert 0.25 < (own < 1).mean() < 0.35  # half of the partners show the same
    assert np.array_equal(View(pixels, Augmentation(), (0,)).mix_targets(targets), targets)
