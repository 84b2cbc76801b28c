"""Times are taken of what they say they are of."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_benchmarks.latency import percentile, speedups, time_calls, time_pass

if TYPE_CHECKING:
    from numpy.typing import NDArray

PICTURES = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)


def test_calls_get_one_picture_each_in_turns() -> None:
    """Warm-up and timed calls get the pictures in turns, one at a time, shaped as a batch."""
    seen: list[NDArray[np.uint8]] = []
    times = time_calls(seen.append, PICTURES, calls=5, warmup=2)
    assert len(times) == 5
    assert all(value > 0 for value in times)
    assert [int(one[0, 0, 0, 0]) for one in seen] == [0, 4, 0, 4, 8, 0, 4]
    assert {one.shape for one in seen} == {(1, 2, 2, 1)}


def test_times_are_in_microseconds() -> None:
    """A call that sleeps for 3 ms takes at least 3000 microseconds, and not ten times that."""
    times = time_calls(lambda _: time.sleep(0.003), PICTURES, calls=20, warmup=1)
    assert 3000 <= percentile(times, 50) < 30_000


def test_a_pass_answers_every_picture_in_order() -> None:
    """All pictures are answered, in chunks of the given size, and the rows come back in order."""
    sizes = []

    def predict(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        sizes.append(len(pixels))
        time.sleep(0.01)
        return pixels[:, 0, 0].astype(np.float32)

    seconds, rows = time_pass(predict, PICTURES, chunk=2)
    assert sizes == [2, 1]
    assert rows.ravel().tolist() == [0, 4, 8]
    assert seconds >= 0.02


def test_the_garbage_collector_rests_meanwhile() -> None:
    """It is off within a measurement and on again afterwards, also when the model fails."""
    states = []
    time_calls(lambda _: states.append(gc.isenabled()), PICTURES, calls=1, warmup=1)
    assert states == [False, False]
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        time_calls(lambda _: 1 // 0, PICTURES, calls=1, warmup=0)
    assert gc.isenabled()


def test_speedups_compare_within_a_round() -> None:
    """A machine that is three times slower in one round does not change the ratio."""
    baseline = [[10.0, 11.0, 10.0], [30.0, 33.0, 30.0]]
    other = [[5.0, 5.0, 50.0], [15.0, 15.0, 15.0]]
    assert speedups(baseline, other) == (2.0, 2.0)


def test_percentiles_are_numpys() -> None:
    """The median of an even count lies between, the extremes are the extremes."""
    values = [4.0, 1.0, 3.0, 2.0]
    assert [percentile(values, p) for p in (0, 50, 100)] == [1.0, 2.5, 4.0]
