from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fmx_runtime.labeled_images.sampling import balanced_sample, proportional_sample, random_bytes

LABELS = st.lists(st.integers(0, 6), min_size=2, max_size=200)
SEEDS = st.integers(0, 2**32)


@given(LABELS, SEEDS, st.data())
def test_balanced(labels: list[int], seed: int, data: st.DataObject) -> None:
    """Different images, and no class has over one more than another that has images left."""
    size = data.draw(st.integers(1, len(labels)))
    array = np.array(labels)
    chosen = balanced_sample(array, size, seed)
    assert len(set(chosen.tolist())) == size
    counts, available = np.bincount(array[chosen], minlength=7), np.bincount(array, minlength=7)
    unfinished = counts[counts < available]
    assert not len(unfinished) or counts.max() <= unfinished.min() + 1


@given(LABELS, SEEDS, st.data())
def test_proportional(labels: list[int], seed: int, data: st.DataObject) -> None:
    """Each class has its share, rounded down or up."""
    size = data.draw(st.integers(1, len(labels)))
    array = np.array(labels)
    chosen = proportional_sample(array, size, seed)
    assert chosen.sum() == size
    shares = np.bincount(array, minlength=7) * size / len(labels)
    counts = np.bincount(array[chosen], minlength=7)
    assert (np.abs(counts - shares) < 1).all()


def test_random_bytes_are_pinned() -> None:
    """A seed gives the same bytes on every machine, and all values occur."""
    values = random_bytes(7000, 0)
    assert values.dtype == np.uint8
    assert values[:5].tolist() == [95, 130, 194, 217, 207]
    assert len(np.unique(values)) == 256
    assert not np.array_equal(values, random_bytes(7000, 1))
