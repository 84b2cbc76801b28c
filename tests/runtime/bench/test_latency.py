"""What is timed, and in which unit."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_runtime.bench.latency import time_batches, time_calls

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGES = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)


def test_each_call_gets_one_image_in_turn() -> None:
    """Warm-up and timed calls get the images in turn, one at a time, shaped as a batch."""
    seen: list[NDArray[np.uint8]] = []
    times = time_calls(seen.append, IMAGES, iterations=5, warmup=2)
    assert len(times) == 5
    assert all(value > 0 for value in times)
    assert [int(one[0, 0, 0, 0]) for one in seen] == [0, 4, 0, 4, 8, 0, 4]
    assert {one.shape for one in seen} == {(1, 2, 2, 1)}


@pytest.mark.timed
def test_times_are_in_microseconds() -> None:
    """A call that sleeps for 3 ms takes at least 3000 microseconds, and not ten times that."""
    times = time_calls(lambda _: time.sleep(0.003), IMAGES, iterations=20, warmup=1)
    assert 3000 <= np.median(times) < 30_000


def test_a_slow_model_is_stopped() -> None:
    """Calls end at the time limit, but ten are made; fewer if fewer are asked for."""
    for iterations, expected in ((1000, 10), (4, 4)):
        times = time_calls(
            lambda _: time.sleep(0.002), IMAGES, iterations=iterations, warmup=1000, seconds=0.01
        )
        assert len(times) == expected


@pytest.mark.timed
def test_throughput_is_in_images_per_second() -> None:
    """Batches have the given size, with images repeated if there are fewer; each image counts."""
    sizes = []

    def predict(pixels: NDArray[np.uint8]) -> None:
        sizes.append(pixels.shape)
        time.sleep(0.01)

    throughput = time_batches(predict, IMAGES, batch=8, seconds=0.1)
    assert set(sizes) == {(8, 2, 2, 1)}
    assert 100 < throughput < 800


def test_the_garbage_collector_is_paused() -> None:
    """It is off during a measurement and on again afterwards, also when the model fails."""
    states = []
    time_calls(lambda _: states.append(gc.isenabled()), IMAGES, iterations=1, warmup=1)
    assert states == [False, False]
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        time_calls(lambda _: 1 // 0, IMAGES, iterations=1, warmup=0)
    assert gc.isenabled()
