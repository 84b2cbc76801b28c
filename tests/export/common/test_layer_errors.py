"""The measure of a layer's quantization error, and the ranking of layers."""

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
    """Activations of two images with four channels, float32 (2, 5, 5, 4)."""
    return np.random.default_rng(0).normal(size=(2, 5, 5, 4)).astype(np.float32)


def rounded(values: np.ndarray, step: float) -> np.ndarray:
    """Round values to multiples of a step."""
    return (np.round(values / step) * step).astype(np.float32)


def test_a_bit_is_six_decibels(signal: np.ndarray) -> None:
    """Halving the quantization step improves the ratio by 6 dB, which is one bit."""
    coarse = snr_db(channel_powers(signal, rounded(signal, 0.1)))
    fine = snr_db(channel_powers(signal, rounded(signal, 0.05)))
    assert fine - coarse == pytest.approx(6.02, abs=0.7)


def test_noise_of_uniform_quantization(signal: np.ndarray) -> None:
    """A step of s causes a noise power of s²/12, as theory says."""
    expected = 10 * np.log10(1 / (0.1**2 / 12))
    assert snr_db(channel_powers(signal, rounded(signal, 0.1))) == pytest.approx(expected, abs=1)


def test_scale_of_channels_does_not_matter(signal: np.ndarray) -> None:
    """Channels that are scaled together with their step have the same error."""
    factors = np.array([1, 8, 64, 1024], np.float32)
    plain = snr_db(channel_powers(signal, rounded(signal, 0.1)))
    assert snr_db(channel_powers(signal * factors, rounded(signal, 0.1) * factors)) == plain


def test_a_small_channel_counts_as_much_as_a_large_one(signal: np.ndarray) -> None:
    """If one of four channels is rounded to zero, a quarter is lost, however small it was."""
    signal = signal * np.array([1e-3, 1, 1, 1], np.float32)
    silenced = signal * np.array([0, 1, 1, 1], np.float32)
    assert snr_db(channel_powers(signal, silenced)) == pytest.approx(10 * np.log10(4))


def test_powers_add_up_over_images(signal: np.ndarray) -> None:
    """The sum of the powers of single images equals the power of all."""
    noisy = rounded(signal, 0.3)
    single = sum(channel_powers(signal[i : i + 1], noisy[i : i + 1]) for i in range(2))
    np.testing.assert_allclose(single, channel_powers(signal, noisy))


def test_limits_of_the_scale(signal: np.ndarray) -> None:
    """Equal tensors give `EXACT_DB`, also if both are zero; pure noise gives 0."""
    assert snr_db(channel_powers(signal, signal)) == EXACT_DB
    assert snr_db(channel_powers(0 * signal, 0 * signal)) == EXACT_DB
    assert snr_db(channel_powers(signal, -100 * signal)) == 0


def test_sort_by_error() -> None:
    """The layer with most noise comes first; equal ones keep their order."""
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


def test_consumers_behind_pass_through_layers() -> None:
    """Layers that read an output through a pass-through layer are included, each once."""
    consumers = {
        "conv": ["pool", "add"],
        "pool": ["flat"],
        "flat": ["dense", "add"],
        "dense": ["end"],
    }
    assert with_consumers("conv", consumers, {"pool", "flat"}) == (
        "conv", "pool", "add", "flat", "dense",
    )  # fmt: skip
