"""The optimizer: orthogonal steps, kernels of constant norm, everything else as SGD does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmx_training.loop import checkpoint
from fmx_training.loop.checkpoint import Epoch
from fmx_training.loop.muon import Muon, orthogonal

if TYPE_CHECKING:
    from pathlib import Path

_EPOCH = Epoch(
    epoch=1, learning_rate=0.1, loss=1, accuracy=0.5, val_loss=1, val_accuracy=0.5, seconds=1
)


def _network() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(6, 3, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3),
        ]
    )


def _learn(model: keras.Model, steps: int) -> None:
    random = np.random.default_rng(0)
    images = random.random((16, 8, 8, 1), np.float32)
    targets = random.random((16, 3), np.float32)
    for _ in range(steps):
        model.train_on_batch(images, targets)


@settings(deadline=None, max_examples=25)
@given(
    side=st.sampled_from([1, 3, 5]),
    inputs=st.integers(1, 40),
    outputs=st.integers(1, 40),
    scale=st.floats(1e-6, 1e6),
)
def test_all_directions_become_alike(side: int, inputs: int, outputs: int, scale: float) -> None:
    """Singular values lie near 1, whatever the kernel's shape and size; directions stay."""
    random = np.random.default_rng([side, inputs, outputs])
    shape = (side, side, inputs, outputs)
    kernel = (random.standard_normal(shape) * scale).astype(np.float32)
    result = np.asarray(orthogonal(keras.ops.convert_to_tensor(kernel)))
    assert result.shape == shape
    left, before, right = np.linalg.svd(kernel.reshape(-1, outputs), full_matrices=False)
    inner = left.T @ result.reshape(-1, outputs) @ right.T
    held = before > before[0] / 100
    assert np.all((np.diag(inner)[held] > 0.6) & (np.diag(inner)[held] < 1.3))
    assert np.abs(inner - np.diag(np.diag(inner))).max() < 0.01


def test_a_kernel_of_zeros_stays_a_number() -> None:
    """No gradient at all, as behind a dead unit, is no division by nothing."""
    assert not np.asarray(orthogonal(keras.ops.zeros((3, 3, 4, 8)))).any()


def test_kernels_keep_the_norm_of_an_orthogonal_matrix() -> None:
    """After any step: the root of the matrix's smaller side, here 6 columns."""
    model = _network()
    model.compile(Muon(0.5, momentum=0.9, nesterov=True), "mse")
    before = model.layers[0].get_weights()[0]
    _learn(model, 3)
    after = model.layers[0].get_weights()[0]
    assert np.linalg.norm(after) == pytest.approx(6**0.5, rel=1e-5)
    assert not np.allclose(before / np.linalg.norm(before), after / np.linalg.norm(after), 0.01)


def test_all_but_convolutions_learn_as_with_sgd() -> None:
    """One step from the same start: normalization and the dense layer are moved alike."""
    results = []
    for kind in (Muon, keras.optimizers.SGD):
        model = _network()
        model.compile(kind(0.1, momentum=0.9, nesterov=True), "mse")
        _learn(model, 1)
        results.append([weights for layer in model.layers[1:] for weights in layer.get_weights()])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_it_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    """Momentum and all: as if nothing had come between."""
    whole, stopped = _network(), _network()
    for model in (whole, stopped):
        model.compile(Muon(0.1, momentum=0.9, nesterov=True, weight_decay=1e-3), "mse")
        _learn(model, 2)
    checkpoint.save(tmp_path, stopped, (_EPOCH,))
    loaded = checkpoint.load(tmp_path)
    assert loaded is not None
    resumed, _ = loaded
    for model in (whole, resumed):
        _learn(model, 2)
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
