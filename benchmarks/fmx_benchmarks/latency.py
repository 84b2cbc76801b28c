"""Take times, and sum them up."""

from __future__ import annotations

import gc
import statistics
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from numpy.typing import NDArray

__all__ = ["percentile", "speedups", "time_calls", "time_pass"]

_NS_PER_US = 1000
_NS_PER_S = 1_000_000_000


def time_calls(
    answer: Callable[[NDArray[np.uint8]], Any],
    pictures: NDArray[np.uint8],
    *,
    calls: int,
    warmup: int,
) -> list[float]:
    """Time single calls, one picture each; the pictures take turns.

    Args:
        answer: called with uint8 ``(1, height, width, channels)``.
        pictures: uint8 ``(n, height, width, channels)``, n at least 1.
        calls: how many are timed.
        warmup: how many go before them untimed.

    Returns:
        Microseconds of each call, to the nanosecond, in the order of the calls.
    """
    count = min(len(pictures), max(calls, warmup))
    # sliced beforehand, and in memory of this process: the time is the call's alone
    loaded = np.array(pictures[:count])
    ones = [loaded[i : i + 1] for i in range(count)]
    clock = time.perf_counter_ns
    times = [0] * calls
    with _no_collection():
        for index in range(warmup):
            answer(ones[index % count])
        for index in range(calls):
            one = ones[index % count]
            start = clock()
            answer(one)
            times[index] = clock() - start
    return [ns / _NS_PER_US for ns in times]


def time_pass(
    predict: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    pictures: NDArray[np.uint8],
    *,
    chunk: int,
) -> tuple[float, NDArray[np.float32]]:
    """Time one pass over all pictures.

    Args:
        predict: uint8 ``(m, height, width, channels)`` -> float32 ``(m, classes)``.
        pictures: uint8 ``(n, height, width, channels)``, n at least 1.
        chunk: the largest m, so that memory does not grow with n.

    Returns:
        Seconds, and float32 ``(n, classes)``.
    """
    starts = range(0, len(pictures), chunk)
    with _no_collection():
        start = time.perf_counter_ns()
        rows = [predict(np.ascontiguousarray(pictures[i : i + chunk])) for i in starts]
        elapsed = time.perf_counter_ns() - start
    return elapsed / _NS_PER_S, np.concatenate(rows)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that ``percent`` of a sorted sample lie below, interpolated linearly.

    Args:
        values: at least one.
        percent: 0 to 100.
    """
    return float(np.percentile(np.asarray(values, dtype=np.float64), percent))


def speedups(
    baseline: Sequence[Sequence[float]], other: Sequence[Sequence[float]]
) -> tuple[float, ...]:
    """How many times faster ``other`` is, once for each round.

    Both were measured in the same round, so whatever slowed the machine then slowed both.

    Args:
        baseline: times of each round.
        other: times of the same rounds.

    Returns:
        Median of the baseline's times over median of the other's, round by round.
    """
    pairs = zip(baseline, other, strict=True)
    return tuple(statistics.median(ours) / statistics.median(theirs) for ours, theirs in pairs)


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
