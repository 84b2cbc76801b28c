from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fmx_runtime.images.segmentation import border_distance
from fmx_runtime.images.segmentation.border_distance import distance_evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray


def dijkstra(colors: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the cost of the cheapest path from the border to each pixel, one at a time."""
    _, height, width = colors.shape
    cost = np.full((height, width), 1 << 20, np.int32)
    edge = [(y, x) for y in range(height) for x in range(width) if y in {0, height - 1} or x in {0, width - 1}]  # fmt: skip # noqa: E501
    heap = [(0, y, x) for y, x in edge]
    while heap:
        least, y, x = heapq.heappop(heap)
        if least >= cost[y, x]:
            continue
        cost[y, x] = least
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= v < height and 0 <= u < width:
                step = max(0, int(abs(colors[:, y, x] - colors[:, v, u]).max()) - 6)
                heapq.heappush(heap, (least + step, v, u))
    return cost


@pytest.mark.parametrize("size", [(40, 40), (31, 54)])
def test_costs_are_those_of_shortest_paths(size: tuple[int, int]) -> None:
    """On a noisy image, the costs are those that Dijkstra's algorithm finds."""
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    image = Image.fromarray(pixels)
    halved = border_distance._median_filtered_half(np.asarray(image.convert("YCbCr")))
    cost = border_distance._border_distance(image, np.zeros(size, np.int32))
    assert np.array_equal(cost, dijkstra(halved.astype(np.int32)))


def test_evidence() -> None:
    """What can be reached only across an edge is garment, what lies open is background."""
    image = Image.new("RGB", (40, 40), "gray")
    image.paste("red", (12, 12, 28, 28))
    garment = np.zeros((40, 40), np.int32)
    garment[12:28, 12:28] = 64
    evidence = distance_evidence(image, garment)
    assert np.all(evidence[14:26, 14:26] == 40)
    assert np.all(evidence[:10] == -40)


def test_median_filter() -> None:
    """It is the median of each other pixel and those around it, repeated at the border."""
    pixels = np.random.default_rng(1).integers(0, 256, (7, 10, 3), np.uint8)
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (0, 1))
    expected = np.median(windows, axis=(3, 4))[::2, ::2].transpose(2, 0, 1)
    assert np.array_equal(border_distance._median_filtered_half(pixels), expected)
