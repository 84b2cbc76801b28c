from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fmx_runtime.images.segmentation.smoothing import MAX_BELIEF, neighbor_similarity, smooth


def test_similarity() -> None:
    """Equal neighbors have 64, those across an edge little, and those beyond the border 0."""
    image = Image.new("RGB", (8, 6), "black")
    image.paste("white", (4, 0, 8, 6))
    similarity = neighbor_similarity(image).reshape(3, 3, 6, 8)
    down, right = similarity[2, 1], similarity[1, 2]
    assert np.all(down[:-1] == MAX_BELIEF)
    assert not down[-1].any()
    assert np.all(right[:, :3] == MAX_BELIEF)
    assert np.all(right[:, 3] < MAX_BELIEF / 3)
    assert not similarity[1, 1].any()
    # the neighbor's neighbor is the pixel
    assert np.array_equal(similarity[1, 0][:, 1:], right[:, :-1])
    assert np.array_equal(similarity[0, 2][1:, :-1], similarity[2, 0][:-1, 1:])


def test_noise_is_removed() -> None:
    """One pixel without a belief of its own takes over the belief of its equals."""
    similarity = neighbor_similarity(Image.new("RGB", (9, 9)))
    evidence = np.full((9, 9), 40, np.int32)
    evidence[4, 4] = 0
    belief = smooth(evidence, similarity)
    assert belief[4, 4] == MAX_BELIEF
    assert np.all(smooth(-evidence, similarity)[1:-1, 1:-1] == 0)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (7, 3)])
def test_any_size(size: tuple[int, int]) -> None:
    """The belief has the shape of the image and stays between 0 and 64."""
    height, width = size
    evidence = np.arange(height * width, dtype=np.int32).reshape(size) * 30 - 60
    belief = smooth(evidence, neighbor_similarity(Image.new("RGB", (width, height))))
    assert belief.shape == size
    assert belief.min() >= 0
    assert belief.max() <= MAX_BELIEF
