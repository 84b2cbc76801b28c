"""The learning-rate schedule."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fmx_training.loop.learning_rate import warmup_cosine


def _rates(peak: float, steps: int, warmup_ratio: float = 0.0) -> np.ndarray:
    schedule = warmup_cosine(peak, steps, warmup_ratio)
    return np.array([float(schedule(step)) for step in range(steps + 1)])


def test_cosine_without_warmup() -> None:
    """The learning rate falls from the peak to 0 along half a cosine."""
    expected = [0.5 * 0.1 * (1 + math.cos(math.pi * step / 50)) for step in range(51)]
    np.testing.assert_allclose(_rates(0.1, 50), expected, atol=1e-7)


def test_linear_warmup() -> None:
    """During the given fraction of the steps the learning rate rises in equal steps from 0."""
    rates = _rates(0.1, 50, 0.2)
    np.testing.assert_allclose(rates[:11], np.linspace(0, 0.1, 11), atol=1e-7)
    assert rates.argmax() == 10
    assert np.all(np.diff(rates[10:]) < 0)
    assert rates[-1] == pytest.approx(0, abs=1e-7)


def test_peak_is_reached_for_any_length() -> None:
    """Whatever the number of steps, the schedule starts, peaks and ends where it should."""
    for steps in (1, 7, 1000):
        rates = _rates(0.3, steps, 0.1)
        assert rates.max() == pytest.approx(0.3, rel=1e-6)
        assert rates[-1] == pytest.approx(0, abs=1e-6)
