"""The measure of what a layer loses, and the ranking by it."""

from __future__ import annotations

import numpy as np
import pytest

from fmx_export.common.layer_errors import (
    EXACT_DB,
    LayerError,
    channel_powers,
    snr_db,
    sort_by_error,
    with_consumers,
)


@pytest.fixture
def signal() -> np.ndarray:
    """Two images' tensors of four channels, float32 (2, 5, 5, 4)."""
    return np.random.default_rng(0).normal(size=(2, 5, 5, 4)).astype(np.float32)


def rounded(values: np.ndarray, step: float) -> np.ndarray:
    """The values on a grid."""
    return (np.round(values / step) * step).astype(np.float32)


def test_a_bit_is_six_decibels(signal: np.ndarray) -> None:
    """Halving the step gains the 6 dB that a bit is worth."""
    coarse = snr_db(channel_powers(signal, rounded(signal, 0.1)))
    fine = snr_db(channel_powers(signal, rounded(signal, 0.05)))
    assert fine - coarse == pytest.approx(6.02, abs=0.7)


def test_the_noise_of_an_even_grid(signal: np.ndarray) -> None:
    """A step of s makes noise of s²/12, as the theory of rounding has it."""
    expected = 10 * np.log10(1 / (0.1**2 / 12))
    assert snr_db(channel_powers(signal, rounded(signal, 0.1))) == pytest.approx(expected, abs=1)


def test_the_scale_of_channels_is_no_matter(signal: np.ndarray) -> None:
    """Channels of other sizes, rounded in proportion, lose the same."""
    factors = np.array([1, 8, 64, 1024], np.float32)
    plain = snr_db(channel_powers(signal, rounded(signal, 0.1)))
    assert snr_db(channel_powers(signal * factors, rounded(signal, 0.1) * factors)) == plain


def test_a_drowned_channel_is_heard(signal: np.ndarray) -> None:
    """Where one of four channels is rounded to nothing, a quarter is lost, however small it was."""
    signal = signal * np.array([1e-3, 1, 1, 1], np.float32)
    silenced = signal * np.array([0, 1, 1, 1], np.float32)
    assert snr_db(channel_powers(signal, silenced)) == pytest.approx(10 * np.log10(4))


def test_images_add_up(signal: np.ndarray) -> None:
    """The powers of single images sum to those of all."""
    noisy = rounded(signal, 0.3)
    single = sum(channel_powers(signal[i : i + 1], noisy[i : i + 1]) for i in range(2))
    np.testing.assert_allclose(single, channel_powers(signal, noisy))


def test_the_ends_of_the_scale(signal: np.ndarray) -> None:
    """Equal tensors give `EXACT_DB`, silence beside silence too; nothing but noise gives 0."""
    assert snr_db(channel_powers(signal, signal)) == EXACT_DB
    assert snr_db(channel_powers(0 * signal, 0 * signal)) == EXACT_DB
    assert snr_db(channel_powers(signal, -100 * signal)) == 0


def test_worst_first() -> None:
    """The noisiest layer comes first, and equal ones stay in order."""
    errors = [
        LayerError(
            layer=name,
            tensor=name,
            operator="Conv",
            snr_db=noise,
            weight_snr_db=None,
            exclude=(name,),
        )
        for name, noise in (("a", 40.0), ("b", 3.0), ("c", 40.0), ("d", EXACT_DB))
    ]
    assert [error.layer for error in sort_by_error(errors)] == ["b", "a", "c", "d"]


def test_readers_behind_a_pool() -> None:
    """Who reads a layer through one that only moves numbers is its reader too, each once."""
    readers = {
        "conv": ["pool", "add"],
        "pool": ["flat"],
        "flat": ["dense", "add"],
        "dense": ["end"],
    }
    assert with_consumers("conv", readers, {"pool", "flat"}) == (
        "conv", "pool", "add", "flat", "dense",
    )  # fmt: skip
