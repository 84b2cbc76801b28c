"""Time single predictions and batches."""

from __future__ import annotations

import gc
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from numpy.typing import NDArray

__all__ = ["time_batches", "time_calls"]

_NS_PER_US = 1000
_NS_PER_S = 1_000_000_000
_MIN_ITERATIONS = 10
_MAX_LOADED_IMAGES = 128
"""The most images that are held in memory, so that large ones fit into a small board's."""


def time_calls(
    predict: Callable[[NDArray[np.uint8]], Any],
    images: NDArray[np.uint8],
    *,
    iterations: int,
    warmup: int,
    seconds: float = float("inf"),
) -> list[float]:
    """Time predictions of single images; the images take turns.

    Args:
        predict: called with uint8 ``(1, height, width, channels)``.
        images: uint8 ``(n, height, width, channels)``, n at least 1.
        iterations: the number of timed calls.
        warmup: the number of untimed calls before them.
        seconds: the time limit for the timed calls, for slow models; the warm-up may take a tenth
            of it. At least ten timed calls are made, or ``iterations`` if that is less.

    Returns:
        Microseconds of each timed call, in the order of the calls.
    """
    count = min(len(images), max(iterations, warmup), _MAX_LOADED_IMAGES)
    # sliced before the measurement, and in this process's memory: only the call is timed
    loaded = np.array(images[:count])
    singles = [loaded[i : i + 1] for i in range(count)]
    clock = time.perf_counter_ns
    times = [0] * iterations
    with _garbage_collection_paused():
        end = _deadline_ns(seconds / 10)
        for index in range(warmup):
            predict(singles[index % count])
            if clock() > end:
                break
        end = _deadline_ns(seconds)
        for index in range(iterations):
            image = singles[index % count]
            start = clock()
            predict(image)
            now = clock()
            times[index] = now - start
            if now > end and index + 1 >= _MIN_ITERATIONS:
                del times[index + 1 :]
                break
    return [ns / _NS_PER_US for ns in times]


def time_batches(
    predict: Callable[[NDArray[np.uint8]], Any],
    images: NDArray[np.uint8],
    *,
    batch: int,
    seconds: float,
) -> float:
    """Measure the throughput at one batch size.

    Args:
        predict: called with uint8 ``(batch, height, width, channels)``; the first call is not
            timed.
        images: uint8 ``(n, height, width, channels)``, n at least 1; they take turns, and are
            repeated if there are fewer than ``batch``.
        batch: the number of images in one call.
        seconds: the least time to measure for.

    Returns:
        Images per second.
    """
    count = max(min(len(images), _MAX_LOADED_IMAGES) // batch, 1)
    batches = np.resize(images[: count * batch], (count, batch, *images.shape[1:]))
    predict(batches[0])
    done = 0
    clock = time.perf_counter_ns
    with _garbage_collection_paused():
        start = clock()
        end = start + seconds * _NS_PER_S
        while (now := clock()) < end or not done:
            predict(batches[done % count])
            done += 1
    return done * batch * _NS_PER_S / (now - start)


def _deadline_ns(seconds: float) -> float:
    return time.perf_counter_ns() + seconds * _NS_PER_S


@contextmanager
def _garbage_collection_paused() -> Iterator[None]:
    """Keep Python's garbage collector from running during a measurement."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
