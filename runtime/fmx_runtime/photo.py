"""The garment in a photograph, shown as Fashion-MNIST shows garments.

That data set's pictures were trimmed to the garment and negated: it lies on black, and dark cloth
is bright. A photograph has a floor, a bed or a wall around the garment instead. The garment is told
from it by three things: which colours are found in the middle rather than at the border, how many
colour steps lie on the way in from the border, and that neighbours alike in colour belong together.

Everything is integer arithmetic on a small copy: the same bits on every machine, for one version of
Pillow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageChops, ImageFilter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]
    Numbers = NDArray[np.int64]

__all__ = ["frame_garment", "is_photograph"]

_SIDE = 96  # longest side of the copy that the garment is looked for in, pixels
_MOST_SIDE = 384  # larger pictures are shrunk by a whole factor, to no less than this
_FLAT = 16  # so far from black or white may a drawn ground be, after a JPEG file too
_FAINTEST = 40  # of the result's garment: white cloth must not vanish on black

# Evidence for the garment is a logarithm of odds, in 1/16 of a bit; belief in it goes from 0 to 64.
_CERTAIN = 64
_MOST_EVIDENCE = 64
_MOST_WAY = 40  # evidence by the way in from the border
_MIDDLE, _OUTWARD = 40, 90  # evidence in the middle; what it loses on the way to the border
_LEAST_STEP = 6  # smaller differences between neighbours are shades, not edges
_LOOKS, _MORE_LOOKS, _TALKS = 2, 3, 6
_BINS = 16  # of each of three channels


def is_photograph(image: Image.Image) -> bool:
    """Whether there is a scene around the thing, rather than a plain black or white ground.

    All of Fashion-MNIST has a black ground, shops' pictures a white one; the thing itself may
    reach the border. A quarter of the border is enough to tell.

    Args:
        image: mode L or RGB, any size.
    """
    pixels = np.asarray(image.convert("RGB"))
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    black = np.count_nonzero((border <= _FLAT).all(axis=1))
    white = np.count_nonzero((border >= 255 - _FLAT).all(axis=1))
    return bool(4 * max(black, white) < len(border))


def frame_garment(image: Image.Image) -> Image.Image:
    """The garment alone: negated, on black, trimmed to it on all four sides.

    Args:
        image: mode L or RGB, any size; a photograph, see `is_photograph`.

    Returns:
        Mode RGB, of the garment's aspect ratio, less than 768 pixels a side. Where no garment can
        be told from the ground, all of the picture, negated.
    """
    image = image.reduce(max(1, max(image.size) // _MOST_SIDE)).convert("RGB")
    mask = _garment(_small(image))
    box = _box(mask, image.size)
    alpha = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).resize(image.size).crop(box)
    negative = ImageChops.invert(image.crop(box)).point([max(_FAINTEST, v) for v in range(256)] * 3)
    return Image.composite(negative, Image.new("RGB", alpha.size), alpha)


def _small(image: Image.Image) -> Image.Image:
    """The copy that the garment is looked for in."""
    longest = max(_SIDE, *image.size)
    width, height = (max(1, (side * _SIDE + longest // 2) // longest) for side in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _box(mask: Mask, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is true, in a picture of that size."""
    bounds = []
    for axis, side in enumerate(size):
        some = np.flatnonzero(mask.any(axis=axis)).tolist()
        small = mask.shape[1 - axis]
        bounds.append((some[0] * side // small, -(-(some[-1] + 1) * side // small)))
    (left, right), (top, bottom) = bounds
    return left, top, right, bottom


def _garment(small: Image.Image) -> Mask:
    """Where the garment is: bool ``(h, w)``, true somewhere.

    A guess gives models of the colours inside and outside, these give a better guess, and so on.
    """
    colours, ties = _binned(small), list(_ties(small))
    middle = np.maximum(_MIDDLE - _off_centre(colours.shape) * _OUTWARD // _CERTAIN, -_MIDDLE)
    inside, outside = np.clip(middle, 0, _CERTAIN), np.clip(-middle, 0, _CERTAIN)
    outside[_rim(colours.shape, _SIDE // 24)] = _CERTAIN
    evidence = middle
    for look in range(_LOOKS + _MORE_LOOKS):
        if look == _LOOKS:  # only now is it known where the garment itself reaches the border
            evidence = (middle + _way_in(small, inside)) // 2
        inside = _agreed(evidence + _by_colour(colours, inside, outside), ties)
        outside = _CERTAIN - inside
    mask = _tidy(2 * inside > _CERTAIN)
    return mask if 50 * np.count_nonzero(mask) >= mask.size else np.ones_like(mask)  # a speck: all


def _off_centre(shape: tuple[int, ...]) -> Numbers:
    """0 in the middle, 64 half way along each side, 128 in the corners; flat within."""
    down, across = (np.abs(2 * np.arange(n) - (n - 1)) * _CERTAIN // n for n in shape)
    far: Numbers = (down[:, np.newaxis] ** 4 + across**4) // _CERTAIN**3
    return far


def _rim(shape: tuple[int, ...], width: int) -> Mask:
    """The outermost pixels."""
    rim = np.ones(shape, bool)
    rim[width:-width, width:-width] = False
    return rim


def _binned(small: Image.Image) -> Numbers:
    """Each pixel's colour as one of 16 x 16 x 16; hue and saturation finer than brightness."""
    brightness, blue, red = np.moveaxis(np.asarray(small.convert("YCbCr")).astype(np.int64), 2, 0)
    blue, red = (np.clip((channel - 64) // 8, 0, _BINS - 1) for channel in (blue, red))
    bins: Numbers = (brightness // 16 * _BINS + blue) * _BINS + red
    return bins


def _by_colour(colours: Numbers, inside: Numbers, outside: Numbers) -> Numbers:
    """Evidence by how much commoner a pixel's colour is inside than outside."""
    ratio = _log(_shares(colours, inside)) - _log(_shares(colours, outside))
    evidence: Numbers = np.clip(ratio, -_MOST_EVIDENCE, _MOST_EVIDENCE)[colours]
    return evidence


def _shares(colours: Numbers, weights: Numbers) -> Numbers:
    """Each colour's share, in millionths; similar colours count a little; none is impossible."""
    # an index is shorter on 32-bit machines; sums of integers are exact
    counts = np.bincount(colours.ravel().astype(np.intp), weights.ravel(), _BINS**3)
    cube = counts.astype(np.int64).reshape(_BINS, _BINS, _BINS)
    bins = np.arange(_BINS)
    for axis in range(3):
        before, after = (cube.take(bins + step, axis, mode="clip") for step in (-1, 1))
        cube = before + 2 * cube + after
    return cube.ravel() * 1_000_000 // max(1, int(cube.sum())) + 24


def _log(numbers: Numbers) -> Numbers:
    """16 times the binary logarithm, straight between powers of two: exact on every machine."""
    mantissa, exponent = np.frexp(numbers.astype(np.float64))
    return exponent * 16 + (mantissa * 32).astype(np.int64)


def _ties(small: Image.Image) -> Iterator[tuple[int, int, Numbers]]:
    """How alike each pixel and half its neighbours are, for this picture: a step, and 0 to 64."""
    pixels = np.asarray(small).astype(np.int64)
    steps = ((0, 1), (1, 0), (1, 1), (1, -1))
    squares = [
        ((pixels[near] - pixels[far]) ** 2).sum(axis=2)
        for near, far in (_neighbours(down, across) for down, across in steps)
    ]
    usual = max(16, sum(int(s.sum()) for s in squares) // max(1, sum(s.size for s in squares)))
    for (down, across), square in zip(steps, squares, strict=True):
        yield down, across, _CERTAIN * usual // (usual + 2 * square)


def _neighbours(down: int, across: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """All pixels that have a neighbour at that step, 0 or 1 down, -1 to 1 across; and those."""
    cut = {0: (slice(None),) * 2, 1: (slice(None, -1), slice(1, None))}
    rows, columns = cut[down], cut[abs(across)][:: -1 if across < 0 else 1]
    return (rows[0], columns[0]), (rows[1], columns[1])


def _agreed(evidence: Numbers, ties: list[tuple[int, int, Numbers]]) -> Numbers:
    """Belief, 0 to 64, after each pixel has heard its neighbours a few times."""
    belief = np.clip((_CERTAIN + evidence) // 2, 0, _CERTAIN)
    for _ in range(_TALKS):
        leaning = 2 * belief - _CERTAIN
        heard = np.zeros_like(belief)
        for down, across, tie in ties:
            near, far = _neighbours(down, across)
            heard[near] += tie * leaning[far]
            heard[far] += tie * leaning[near]
        belief = np.clip((_CERTAIN + evidence + heard // _CERTAIN) // 2, 0, _CERTAIN)
    return belief


def _way_in(small: Image.Image, inside: Numbers) -> Numbers:
    """Evidence by the colour steps on the smoothest way in from the ground at the border."""
    pixels = np.asarray(small.convert("YCbCr").filter(ImageFilter.MedianFilter(3))).astype(np.int64)
    steps = [
        (near, far, np.maximum(0, np.abs(pixels[near] - pixels[far]).max(axis=2) - _LEAST_STEP))
        for near, far in (_neighbours(1, 0), _neighbours(0, 1))
    ]
    # to set out from what is likely garment costs much
    way = np.where(_rim(inside.shape, 1), np.maximum(0, inside - 8) * 24, 1 << 20)
    for _ in range(2 * _SIDE):
        before = way.copy()
        for near, far, step in steps:
            way[far] = np.minimum(way[far], way[near] + step)
            way[near] = np.minimum(way[near], way[far] + step)
        if np.array_equal(way, before):
            break
    within = np.sort(way[2 * inside > _CERTAIN])
    usual = max(8, int(within[len(within) // 2])) if len(within) else 8
    evidence: Numbers = np.clip(way * 2 * _MOST_WAY // usual - _MOST_WAY, -_MOST_WAY, _MOST_WAY)
    return evidence


def _tidy(mask: Mask) -> Mask:
    """Without hooks and threads, without what lies about and is small, without small holes."""
    thick = Image.fromarray(mask).convert("L").filter(ImageFilter.MinFilter(3))
    mask = np.asarray(thick.filter(ImageFilter.MaxFilter(3))) > 0
    parts = _parts(mask)
    # the nearer to the middle, the more a pixel counts
    sizes = np.bincount(parts.ravel(), (_CERTAIN + 1 - _off_centre(mask.shape) // 2).ravel())
    sizes[0] = 0
    kept = (5 * sizes >= sizes.max())[parts] & mask
    gaps = _parts(~kept)
    areas = np.bincount(gaps.ravel())
    small = 8 * areas < np.count_nonzero(kept)
    small[gaps[_rim(mask.shape, 1)]] = False  # what reaches the border is no hole
    small[0] = True  # the garment itself
    tidy: Mask = small[gaps]
    return tidy


def _parts(mask: Mask) -> Numbers:
    """Connected pixels get one number, 1 or more; those outside ``mask`` get 0."""
    outside = mask.size + 1
    numbers = np.where(mask, np.arange(1, outside).reshape(mask.shape), outside)
    while True:
        before, numbers = numbers, numbers.copy()
        for near, far in (_neighbours(1, 0), _neighbours(0, 1)):
            numbers[far] = np.minimum(numbers[far], before[near])
            numbers[near] = np.minimum(numbers[near], before[far])
        numbers = np.where(mask, numbers, outside)
        # a pixel's number names a pixel, whose own number is no larger: to jump there saves steps
        numbers = np.concatenate([[0], numbers.ravel(), [outside]])[numbers]
        if np.array_equal(numbers, before):
            return np.where(mask, numbers, 0)
