"""The garment in a photograph, shown as Fashion-MNIST shows garments.

There it lies on black, trimmed, and dark cloth is bright. In a photograph it is told from the
ground by which colours are found in the middle rather than at the border, by how many colour steps
lie on the way in, and by that neighbours alike in colour belong together.

Everything is integer arithmetic on a small copy: the same bits on every machine, for one version of
Pillow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageChops

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Mask = NDArray[np.bool_]
    Numbers = NDArray[np.int32]
    Tie = tuple[int, NDArray[np.int16]]

__all__ = ["frame_garment", "is_photograph"]

_SIDE = 80  # longest side of the copy that is looked at, pixels
_MOST_SIDE = 256  # larger pictures are shrunk by a whole factor, to no less than this
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
_FAR = 1 << 20


def is_photograph(image: Image.Image) -> bool:
    """Whether there is a scene around the thing, rather than a plain black or white ground.

    All of Fashion-MNIST has a black ground, shops' pictures a white one; the thing itself may
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


def frame_garment(image: Image.Image) -> Image.Image:
    """The garment alone: negated, on black, trimmed to it on all four sides.

    Args:
        image: mode L or RGB, any size; a photograph, see `is_photograph`.

    Returns:
        Mode RGB, of the garment's aspect ratio, less than 512 pixels a side. Where no garment can
        be told from the ground, all of the picture, negated.
    """
    image = image.reduce(max(1, max(image.size) // _MOST_SIDE)).convert("RGB")
    alpha = Image.fromarray(_garment(_small(image)) * np.uint8(255))
    (width, height), (across, down) = image.size, alpha.size
    left, top, right, bottom = alpha.getbbox() or (0, 0, across, down)
    near = left * width // across, top * height // down
    box = (*near, -(-right * width // across), -(-bottom * height // down))
    alpha = alpha.resize(image.size).crop(box)
    negative = ImageChops.invert(image.crop(box)).point([max(_FAINTEST, v) for v in range(256)] * 3)
    return Image.composite(negative, Image.new("RGB", alpha.size), alpha)


def _small(image: Image.Image) -> Image.Image:
    longest = max(_SIDE, *image.size)
    width, height = (max(1, (side * _SIDE + longest // 2) // longest) for side in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR)


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
    down, across = (
        np.abs(2 * np.arange(n, dtype=np.int32) - (n - 1)) * _CERTAIN // n for n in shape
    )
    far: Numbers = (down[:, np.newaxis] ** 4 + across**4) // _CERTAIN**3
    return far


def _rim(shape: tuple[int, ...], width: int) -> Mask:
    rim = np.ones(shape, bool)
    rim[width:-width, width:-width] = False
    return rim


def _binned(small: Image.Image) -> Numbers:
    """Each pixel's colour as one of 16 x 16 x 16; hue and saturation finer than brightness."""
    brightness, blue, red = _planes(small.convert("YCbCr"))
    blue, red = (np.clip((channel - 64) // 8, 0, _BINS - 1) for channel in (blue, red))
    bins: Numbers = (brightness // 16 * _BINS + blue) * _BINS + red
    return bins


def _planes(image: Image.Image) -> Numbers:
    """The channels one after the other: int32 ``(c, h, w)``."""
    return np.asarray(image).transpose(2, 0, 1).astype(np.int32, order="C")


def _by_colour(colours: Numbers, inside: Numbers, outside: Numbers) -> Numbers:
    """Evidence by how much commoner a pixel's colour is inside than outside."""
    ratio = _log(_shares(colours, inside)) - _log(_shares(colours, outside))
    return ratio.clip(-_MOST_EVIDENCE, _MOST_EVIDENCE)[colours]


def _shares(colours: Numbers, weights: Numbers) -> NDArray[np.int64]:
    """Each colour's share, in millionths; similar colours count a little; none is impossible."""
    # an index is shorter on 32-bit machines
    counts = np.bincount(colours.ravel().astype(np.intp), weights.ravel(), _BINS**3)
    cube = counts.astype(np.int64).reshape(_BINS, _BINS, _BINS)
    bins = np.arange(_BINS)
    for axis in range(3):
        before, after = (cube.take(bins + step, axis, mode="clip") for step in (-1, 1))
        cube = before + 2 * cube + after
    shares: NDArray[np.int64] = cube.ravel() * 1_000_000 // max(1, int(cube.sum())) + 24
    return shares


def _log(numbers: NDArray[np.int64]) -> Numbers:
    """16 times the binary logarithm, straight between powers of two: exact on every machine."""
    mantissa, exponent = np.frexp(numbers.astype(np.float64))
    return exponent.astype(np.int32) * 16 + (mantissa * 32).astype(np.int32)


def _ties(small: Image.Image) -> Iterator[Tie]:
    """How alike each pixel and half its neighbours are: their distance in memory, and 0 to 64.

    The latter for this picture, int16 ``(h * w,)`` by the first of the two; 0 between rows' ends.
    """
    colours = _planes(small)
    height, width = colours.shape[1:]
    steps = ((0, 1), (1, 0), (1, 1), (1, -1))
    squares = [
        sum(((plane[near] - plane[far]) ** 2 for plane in colours), np.int32(0))
        for near, far in (_neighbours(down, across) for down, across in steps)
    ]
    usual = max(16, sum(int(s.sum()) for s in squares) // max(1, sum(s.size for s in squares)))
    for (down, across), square in zip(steps, squares, strict=True):
        if square.size:  # not in a picture of one row or one column
            tie = np.zeros((height, width), np.int16)
            tie[_neighbours(down, across)[0]] = _CERTAIN * usual // (usual + 2 * square)
            yield down * width + across, tie.ravel()


def _neighbours(down: int, across: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """All pixels that have a neighbour at that step, 0 or 1 down, -1 to 1 across; and those."""
    cut = {0: (slice(None),) * 2, 1: (slice(None, -1), slice(1, None))}
    rows, columns = cut[down], cut[abs(across)][:: -1 if across < 0 else 1]
    return (rows[0], columns[0]), (rows[1], columns[1])


def _agreed(evidence: Numbers, ties: list[Tie]) -> Numbers:
    """Belief, 0 to 64, after each pixel has heard its neighbours a few times."""
    own = evidence.ravel().astype(np.int16) + _CERTAIN
    belief = (own >> 1).clip(0, _CERTAIN)
    # one dimension and 16 bits add faster; eight neighbours' 64 * 32 fit in
    for _ in range(_TALKS):
        leaning = belief - _CERTAIN // 2
        heard = np.zeros_like(own)
        for step, tie in ties:
            heard[:-step] += tie[:-step] * leaning[step:]
            heard[step:] += tie[:-step] * leaning[:-step]
        belief = (own + (heard >> 5) >> 1).clip(0, _CERTAIN)
    return belief.astype(np.int32).reshape(evidence.shape)


def _way_in(small: Image.Image, inside: Numbers) -> Numbers:
    """Evidence by the colour steps on the smoothest way in from the ground at the border.

    Over every other pixel, for speed.
    """
    colours = _medians(np.asarray(small.convert("YCbCr"))).astype(np.int32)
    shape = colours.shape[1:]
    # to set out from what is likely garment costs much
    start = np.maximum(0, inside[::2, ::2] - 8) * 24
    way = np.where(_rim(shape, 1), start, _FAR).astype(np.int32).ravel()
    climbs = []
    for near, far, step in ((*_neighbours(1, 0), shape[1]), (*_neighbours(0, 1), 1)):
        if step >= len(way):  # one row or one column
            continue
        climb = np.full(shape, _FAR, np.int32)  # no way leads from one row's end to the next
        steps = np.maximum.reduce([np.abs(plane[near] - plane[far]) for plane in colours])
        climb[near] = np.maximum(0, steps - _LEAST_STEP)
        climbs.append((step, climb.ravel()[:-step]))
    for _ in range(_SIDE // 4):
        before = way.copy()
        for step, climb in climbs * 4:
            np.minimum(way[step:], way[:-step] + climb, out=way[step:])
            np.minimum(way[:-step], way[step:] + climb, out=way[:-step])
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
    wide = np.pad(pixels.transpose(2, 0, 1), ((0, 0), (1, 1), (1, 1)), "edge")
    rows = _sorted(*(wide[:, top : top + height : 2] for top in range(3)))
    ranks = [_sorted(*(row[:, :, left : left + width : 2] for left in range(3))) for row in rows]
    return _sorted(ranks[0][2], ranks[1][1], ranks[2][0])[1]


def _sorted(a: Bytes, b: Bytes, c: Bytes) -> list[Bytes]:
    """The least, the middle and the greatest of three arrays, element by element."""
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
    outside = mask.size + 1
    numbers = np.where(mask, np.arange(1, outside, dtype=np.int32).reshape(mask.shape), outside)
    # each gap makes what follows so much lower that no number from before it is the least
    falls = [
        (gaps.cumsum(1), gaps[:, ::-1].cumsum(1)[:, ::-1])
        for gaps in (~mask * np.int32(outside + 1), ~mask.T * np.int32(outside + 1))
    ]
    while True:
        before = numbers
        for there, back in falls:  # along rows, and then along columns, laid out as rows
            numbers = np.minimum.accumulate(numbers - there, axis=1) + there
            numbers = np.minimum.accumulate((numbers - back)[:, ::-1], axis=1)[:, ::-1] + back
            numbers = np.ascontiguousarray(numbers.T)
        if np.array_equal(numbers, before):
            return np.where(mask, numbers, 0)
