"""The garment in a photo, shown as Fashion-MNIST shows garments.

There it lies on black, trimmed, and dark cloth is bright. In a photo it is told from the
ground by which colours are found in the middle rather than at the border, by how many colour steps
lie on the way in, and by that neighbours alike in colour belong together.

Whole numbers and a small copy: the same bits on every machine, for one version of Pillow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import as_strided
from PIL import Image, ImageChops

if TYPE_CHECKING:
    from types import EllipsisType

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]
    Numbers = NDArray[np.int32]
    Part = tuple[EllipsisType, slice, slice]
    Places = NDArray[np.intp]

__all__ = ["is_photo", "segment_garment"]

_SIDE = 80  # longest side of the copy that is looked at, pixels
_MOST_SIDE = 256  # larger images are shrunk by a whole factor, to no less than this
_FLAT = 16  # so far from black or white may a drawn ground be, after a JPEG file too
_VISIBLE = [max(40, value) for value in range(256)] * 3  # white cloth must not vanish on black

# Evidence for the garment is a logarithm of odds, in 1/16 of a bit; belief in it goes from 0 to 64.
_CERTAIN = 64
_MOST_EVIDENCE = 64
_MOST_WAY = 40  # evidence by the way in from the border
_MIDDLE, _OUTWARD = 40, 90  # evidence in the middle; what it loses on the way to the border
_LEAST_STEP = 6  # smaller differences between neighbours are shades, not edges
_LOOKS, _MORE_LOOKS, _TALKS = 2, 3, 6
_BINS = 16  # of each of three channels
_STEPS = np.indices((3, 3, 3)).reshape(3, 1, 27) - 1  # from a bin to those around
_LIKENESS = (2.0 - np.abs(_STEPS)).prod(0)[0]
_FAR = 1 << 20


def is_photo(image: Image.Image) -> bool:
    """Whether there is a scene around the thing, rather than a plain black or white ground.

    All of Fashion-MNIST has a black ground, shops' images a white one; the thing itself may
    reach the border. A quarter of the border is enough to tell.

    Args:
        image: mode L or RGB, any size.
    """
    width, height = image.size
    edges = [(0, 0, width, 1), (0, height - 1, width, height)]
    edges += [(0, 0, 1, height), (width - 1, 0, width, height)]
    parts = [np.asarray(image.crop(edge).convert("RGB")).reshape(-1, 3) for edge in edges]
    border = np.concatenate(parts)
    black = np.count_nonzero((border <= _FLAT).all(axis=1))
    white = np.count_nonzero((border >= 255 - _FLAT).all(axis=1))
    return bool(4 * max(black, white) < len(border))


def segment_garment(image: Image.Image) -> Image.Image:
    """The garment alone: negated, on black, trimmed to it on all four sides.

    Args:
        image: mode L or RGB, any size; a photo, see `is_photo`.

    Returns:
        Mode RGB, of the garment's aspect ratio, less than 512 pixels a side. Where no garment can
        be told from the ground, all of the image, negated.
    """
    image = image.reduce(max(1, max(image.size) // _MOST_SIDE)).convert("RGB")
    alpha = Image.fromarray(_garment(_small(image)) * np.uint8(255))
    (width, height), (across, down) = image.size, alpha.size
    left, top, right, bottom = alpha.getbbox() or (0, 0, across, down)
    near = left * width // across, top * height // down
    box = (*near, -(-right * width // across), -(-bottom * height // down))
    alpha = alpha.resize(image.size).crop(box)
    negative = ImageChops.invert(image.crop(box)).point(_VISIBLE)
    return Image.composite(negative, Image.new("RGB", alpha.size), alpha)


def _small(image: Image.Image) -> Image.Image:
    longest = max(_SIDE, *image.size)
    width, height = (max(1, (side * _SIDE + longest // 2) // longest) for side in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _garment(small: Image.Image) -> Mask:
    """Where the garment is: bool ``(h, w)``, true somewhere.

    A guess gives models of the colours inside and outside, these give a better guess, and so on.
    """
    colours, ties = _binned(small), _ties(small)
    alike = _alike(colours)
    middle = np.maximum(_MIDDLE - _off_centre(colours.shape) * _OUTWARD // _CERTAIN, -_MIDDLE)
    inside, outside = np.clip(middle, 0, _CERTAIN), np.clip(-middle, 0, _CERTAIN)
    outside[_rim(colours.shape, _SIDE // 24)] = _CERTAIN
    evidence = middle
    for look in range(_LOOKS + _MORE_LOOKS):
        if look == _LOOKS:  # only now is it known where the garment itself reaches the border
            evidence = (middle + _way_in(small, inside)) // 2
        inside = _agreed(evidence + _by_colour(colours, alike, inside, outside), ties)
        outside = _CERTAIN - inside
    mask = _tidy(2 * inside > _CERTAIN)
    return mask if 50 * np.count_nonzero(mask) >= mask.size else np.ones_like(mask)  # a speck: all


def _off_centre(shape: tuple[int, ...]) -> Numbers:
    """0 in the middle, 64 half way along each side, 128 in the corners; flat within."""
    down, across = (
        np.abs(2 * np.arange(n, dtype=np.int32) - (n - 1)) * _CERTAIN // n for n in shape
    )
    far: Numbers = (down[:, np.newaxis] ** 4 + across**4) // _CERTAIN**3
    return far


def _rim(shape: tuple[int, ...], width: int) -> Mask:
    rim = np.ones(shape, bool)
    rim[width:-width, width:-width] = False
    return rim


def _binned(small: Image.Image) -> Places:
    """Each pixel's colour as one of 16 x 16 x 16; hue and saturation finer than brightness."""
    brightness, blue, red = _planes(small.convert("YCbCr"))
    blue, red = (np.clip((channel - 64) // 8, 0, _BINS - 1) for channel in (blue, red))
    bins: Places = ((brightness // 16 * _BINS + blue) * _BINS + red).astype(np.intp)
    return bins


def _planes(image: Image.Image) -> Numbers:
    """The channels one after the other: int32 ``(c, h, w)``."""
    return np.asarray(image).transpose(2, 0, 1).astype(np.int32, order="C")


def _alike(colours: Places) -> Places:
    """The bins that occur and, by `_STEPS`, those near them: ``(n, 27)``."""
    cube = (_BINS,) * 3
    found = np.argwhere(np.bincount(colours.ravel(), minlength=_BINS**3).reshape(cube))
    near: Places = np.ravel_multi_index((*(found.T[..., np.newaxis] + _STEPS),), cube, "clip")
    return near


def _by_colour(colours: Places, alike: Places, inside: Numbers, outside: Numbers) -> Numbers:
    """Evidence by how much commoner a pixel's colour is inside than outside."""
    ratio = _log(_shares(colours, alike, inside)) - _log(_shares(colours, alike, outside))
    evidence = np.zeros(_BINS**3, np.int32)
    evidence[alike[:, 13]] = ratio.clip(-_MOST_EVIDENCE, _MOST_EVIDENCE)
    return evidence[colours]


def _shares(colours: Places, alike: Places, weights: Numbers) -> Floats:
    """Bins' shares, in millionths; similar colours count a little; none is impossible."""
    counts = np.bincount(colours.ravel(), weights.ravel(), _BINS**3)
    shares: Floats = counts[alike] @ _LIKENESS * 1_000_000  # exact
    return shares // (64 * max(1, int(weights.sum()))) + 24


def _log(numbers: Floats) -> Numbers:
    """16 times the binary logarithm, straight between powers of two: exact on every machine."""
    mantissa, exponent = np.frexp(numbers)
    return exponent.astype(np.int32) * 16 + (mantissa * 32).astype(np.int32)


def _ties(small: Image.Image) -> NDArray[np.int16]:
    """How alike each pixel and its eight neighbours are, 0 to 64: int16 ``(3, 3, h * w)``.

    0 for itself and beyond the border.
    """
    colours = _planes(small)
    steps = ((0, 1), (1, 0), (1, 1), (1, -1))
    pairs = [_neighbours(*step) for step in steps]
    squares = [((colours[near] - colours[far]) ** 2).sum(0) for near, far in pairs]
    usual = max(16, sum(int(s.sum()) for s in squares) // max(1, sum(s.size for s in squares)))
    ties = np.zeros((3, 3, *colours.shape[1:]), np.int16)
    for (down, across), (near, far), square in zip(steps, pairs, squares, strict=True):
        tie = _CERTAIN * usual // (usual + 2 * square)
        ties[1 + down, 1 + across][near] = ties[1 - down, 1 - across][far] = tie
    return ties.reshape(3, 3, -1)


def _neighbours(down: int, across: int) -> tuple[Part, Part]:
    """All pixels that have a neighbour at that step, 0 or 1 down, -1 to 1 across; and those."""
    cut = {0: (slice(None),) * 2, 1: (slice(None, -1), slice(1, None))}
    rows, columns = cut[down], cut[abs(across)][:: -1 if across < 0 else 1]
    return (..., rows[0], columns[0]), (..., rows[1], columns[1])


def _agreed(evidence: Numbers, ties: NDArray[np.int16]) -> Numbers:
    """Belief, 0 to 64, after each pixel has heard its neighbours a few times."""
    own = evidence.ravel().astype(np.int16)  # faster; eight times 64 * 32 fit in
    width, half = evidence.shape[1], np.int16(_CERTAIN // 2)
    around = np.zeros(len(own) + 2 * (width + 1), np.int16)
    leaning = around[width + 1 : -width - 1]
    neighbours = as_strided(around, ties.shape, (2 * width, 2, 2))
    (own >> 1).clip(-half, half, out=leaning)
    for _ in range(_TALKS):
        heard = (ties * neighbours).reshape(9, -1).sum(0, np.int16)
        (own + (heard >> 5) >> 1).clip(-half, half, out=leaning)
    return leaning.reshape(evidence.shape) + np.int32(half)


def _way_in(small: Image.Image, inside: Numbers) -> Numbers:
    """Evidence by the colour steps on the smoothest way in, over every other pixel."""
    colours = _medians(np.asarray(small.convert("YCbCr"))).astype(np.int32)
    shape = colours.shape[1:]
    # likely garment is dear to set out from
    start = np.maximum(0, inside[::2, ::2] - 8) * 24
    way = np.where(_rim(shape, 1), start, _FAR).astype(np.int32).ravel()
    climbs = []
    for near, far, step in ((*_neighbours(1, 0), shape[1]), (*_neighbours(0, 1), 1)):
        climb = np.full(shape, _FAR, np.int32)  # no way from one row's end to the next
        climb[near] = np.maximum(0, np.abs(colours[near] - colours[far]).max(0) - _LEAST_STEP)
        one, height, other = way[:-step], climb.ravel()[:-step], way[step:]
        climbs += [(one, height, other), (other, height, one)]
    for _ in range(_SIDE // 4):
        before = way.copy()
        for start, height, end in climbs * 4:
            np.minimum(end, start + height, out=end)
        if np.array_equal(way, before):
            break
    whole = way.reshape(shape).repeat(2, 0).repeat(2, 1)
    way = whole[: inside.shape[0], : inside.shape[1]]
    within = np.sort(way[2 * inside > _CERTAIN])
    usual = max(8, int(within[len(within) // 2])) if len(within) else 8
    evidence: Numbers = np.clip(way * 2 * _MOST_WAY // usual - _MOST_WAY, -_MOST_WAY, _MOST_WAY)
    return evidence


def _medians(pixels: Bytes) -> Bytes:
    """Every other pixel's median with its eight neighbours: uint8 ``(c, h, w)``."""
    height, width = pixels.shape[:2]
    wide = pixels.transpose(2, 0, 1)
    for axis, side in ((1, height), (2, width)):
        wide = wide.take(range(-1, side + 1), axis, mode="clip")
    rows = _sorted(*(wide[:, top : top + height : 2] for top in range(3)))
    ranks = [_sorted(*(row[:, :, left : left + width : 2] for left in range(3))) for row in rows]
    return _sorted(ranks[0][2], ranks[1][1], ranks[2][0])[1]


def _sorted(a: Bytes, b: Bytes, c: Bytes) -> list[Bytes]:
    """Least, middle and greatest of three arrays, element by element."""
    low, high = np.minimum(a, b), np.maximum(a, b)
    return [np.minimum(low, c), np.maximum(low, np.minimum(high, c)), np.maximum(high, c)]


def _tidy(mask: Mask) -> Mask:
    """Without hooks and threads, without what lies about and is small, without small holes."""
    mask = _grown(~_grown(~mask))
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


def _grown(mask: Mask) -> Mask:
    """With all eight neighbours of each pixel."""
    for _ in range(2):
        wide = mask.copy()
        wide[1:] |= mask[:-1]
        wide[:-1] |= mask[1:]
        mask = wide.T
    return mask


def _parts(mask: Mask) -> Numbers:
    """Connected pixels get one number, 1 or more; those outside ``mask`` get 0."""
    height, width = mask.shape[0], mask.shape[1] + 1
    apart = np.zeros(height * width + 1, bool)  # no run of pixels goes on in the next row
    apart[1:].reshape(height, width)[:, :-1] = mask
    starts, ends = np.flatnonzero(apart[1:] != apart[:-1]).reshape(-1, 2).T
    # each run touches some that follow one another in the row below
    first = np.searchsorted(ends, starts + width, "right")
    count = np.searchsorted(starts, ends + width) - first
    above = np.arange(len(starts)).repeat(count)
    below = np.arange(len(above)) + (first + count - count.cumsum()).repeat(count)
    numbers = np.arange(len(starts))
    while (numbers[above] != numbers[below]).any():
        for one, other in ((above, below), (below, above)):
            np.minimum.at(numbers, numbers[one], numbers[other])
        numbers = numbers[numbers]
    parts = np.zeros(mask.shape, np.int32)
    parts[mask] = (numbers + 1).repeat(ends - starts)
    return parts
