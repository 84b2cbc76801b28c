"""Muon: orthogonal updates and a constant norm for kernels, SGD for everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmx_training.loop import checkpoint
from fmx_training.loop.checkpoint import EpochMetrics
from fmx_training.loop.muon import Muon, orthogonalize

if TYPE_CHECKING:
    from pathlib import Path

_METRICS = EpochMetrics(
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


def _train(model: keras.Model, steps: int) -> None:
    random = np.random.default_rng(0)
    images = random.random((16, 8, 8, 1), np.float32)
    targets = random.random((16, 3), np.float32)
    for _ in range(steps):
        model.train_on_batch(images, targets)


@settings(max_examples=25)
@given(
    side=st.sampled_from([1, 3, 5]),
    inputs=st.integers(1, 40),
    outputs=st.integers(1, 40),
    scale=st.floats(1e-6, 1e6),
)
def test_singular_values_become_similar(side: int, inputs: int, outputs: int, scale: float) -> None:
    """Singular values come near 1 for any shape and scale of a kernel; singular vectors stay."""
    random = np.random.default_rng([side, inputs, outputs])
    shape = (side, side, inputs, outputs)
    kernel = (random.standard_normal(shape) * scale).astype(np.float32)
    result = np.asarray(orthogonalize(keras.ops.convert_to_tensor(kernel)))
    assert result.shape == shape
    left, before, right = np.linalg.svd(kernel.reshape(-1, outputs), full_matrices=False)
    inner = left.T @ result.reshape(-1, outputs) @ right.T
    large = before > before[0] / 100
    assert np.all((np.diag(inner)[large] > 0.6) & (np.diag(inner)[large] < 1.3))
    assert np.abs(inner - np.diag(np.diag(inner))).max() < 0.01


def test_zero_gradient() -> None:
    """A gradient of 0, as of a dead unit, gives an update of 0, not NaN."""
    assert not np.asarray(orthogonalize(keras.ops.zeros((3, 3, 4, 8)))).any()


def test_kernels_have_the_norm_of_an_orthogonal_matrix() -> None:
    """After each step it is the square root of the smaller side of the matrix, here 6 columns."""
    model = _network()
    model.compile(Muon(0.5, momentum=0.9, nesterov=True), "mse")
    before = model.layers[0].get_weights()[0]
    _train(model, 3)
    after = model.layers[0].get_weights()[0]
    assert np.linalg.norm(after) == pytest.approx(6**0.5, rel=1e-5)
    assert not np.allclose(before / np.linalg.norm(before), after / np.linalg.norm(after), 0.01)


def test_other_variables_are_updated_by_sgd() -> None:
    """Normalization and dense layer have the same weights after one step as with SGD."""
    results = []
    for kind in (Muon, keras.optimizers.SGD):
        model = _network()
        model.compile(kind(0.1, momentum=0.9, nesterov=True), "mse")
        _train(model, 1)
        results.append([weights for layer in model.layers[1:] for weights in layer.get_weights()])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_optimizer_resumes_from_a_checkpoint(tmp_path: Path) -> None:
    """The momentum is restored: weights are as without the interruption."""
    uninterrupted, interrupted = _network(), _network()
    for model in (uninterrupted, interrupted):
        model.compile(Muon(0.1, momentum=0.9, nesterov=True, weight_decay=1e-3), "mse")
        _train(model, 2)
    checkpoint.save(tmp_path, interrupted, (_METRICS,))
    loaded = checkpoint.load(tmp_path)
    assert loaded is not None
    resumed, _ = loaded
    for model in (uninterrupted, resumed):
        _train(model, 2)
    for one, other in zip(uninterrupted.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
