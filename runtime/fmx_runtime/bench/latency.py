"""Take times."""

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

__all__ = ["rate", "time_calls"]

_NS_PER_US = 1000
_NS_PER_S = 1_000_000_000
_FEWEST = 10
_LOADED = 128
"""Images held in memory at most, so that large ones fit into a small board's."""


def time_calls(
    answer: Callable[[NDArray[np.uint8]], Any],
    images: NDArray[np.uint8],
    *,
    calls: int,
    warmup: int,
    seconds: float = float("inf"),
) -> list[float]:
    """Time single calls, one image each; the images take turns.

    Args:
        answer: called with uint8 ``(1, height, width, channels)``.
        images: uint8 ``(n, height, width, channels)``, n at least 1.
        calls: how many are timed.
        warmup: how many go before them untimed.
        seconds: a slow model gets so long to be timed, and a tenth of it to warm up; but ten calls
            are made, where so many are asked for.

    Returns:
        Microseconds of each call, to the nanosecond, in the order of the calls.
    """
    count = min(len(images), max(calls, warmup), _LOADED)
    # sliced beforehand, and in memory of this process: the time is the call's alone
    loaded = np.array(images[:count])
    ones = [loaded[i : i + 1] for i in range(count)]
    clock = time.perf_counter_ns
    times = [0] * calls
    with _no_collection():
        end = _end(seconds / 10)
        for index in range(warmup):
            answer(ones[index % count])
            if clock() > end:
                break
        end = _end(seconds)
        for index in range(calls):
            one = ones[index % count]
            start = clock()
            answer(one)
            now = clock()
            times[index] = now - start
            if now > end and index + 1 >= _FEWEST:
                del times[index + 1 :]
                break
    return [ns / _NS_PER_US for ns in times]


def rate(
    predict: Callable[[NDArray[np.uint8]], Any],
    images: NDArray[np.uint8],
    *,
    batch: int,
    seconds: float,
) -> float:
    """Images per second.

    Args:
        predict: called with uint8 ``(batch, height, width, channels)``, once before it is timed.
        images: uint8 ``(n, height, width, channels)``, n at least 1; they take turns.
        batch: images in one call.
        seconds: at least so long is measured.
    """
    count = max(min(len(images), _LOADED) // batch, 1)
    rows = np.resize(images[: count * batch], (count, batch, *images.shape[1:]))
    predict(rows[0])
    done = 0
    clock = time.perf_counter_ns
    with _no_collection():
        start = clock()
        end = start + seconds * _NS_PER_S
        while (now := clock()) < end or not done:
            predict(rows[done % count])
            done += 1
    return done * batch * _NS_PER_S / (now - start)


def _end(seconds: float) -> float:
    return time.perf_counter_ns() + seconds * _NS_PER_S


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python's garbage collector from running within a measurement."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
