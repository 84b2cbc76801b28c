"""Checkpoints: saved after each epoch, loaded to resume."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import keras
import numpy as np
import pytest

from fmx_runtime.errors import DataError
from fmx_training.loop import checkpoint
from fmx_training.loop.checkpoint import EpochMetrics

if TYPE_CHECKING:
    from pathlib import Path

_METRICS = EpochMetrics(
    epoch=1, learning_rate=0.1, loss=1, accuracy=0.5, val_loss=1, val_accuracy=0.5, seconds=1
)


@pytest.fixture
def model() -> keras.Model:
    """A small network with an optimizer that has a state."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
    model.compile(keras.optimizers.Adam(0.1), "categorical_crossentropy", metrics=["accuracy"])
    _train_a_step(model)
    return model


def _train_a_step(model: keras.Model) -> None:
    random = np.random.default_rng(0)
    model.train_on_batch(random.random((8, 3)), np.eye(2)[random.integers(0, 2, 8)])


def test_loaded_training_continues_equally(model: keras.Model, tmp_path: Path) -> None:
    """Weights, optimizer and history are restored: the next step gives the same weights."""
    history = (_METRICS, dataclasses.replace(_METRICS, epoch=2))
    checkpoint.save(tmp_path, model, history)
    loaded = checkpoint.load(tmp_path)
    assert loaded is not None
    resumed, resumed_history = loaded
    assert resumed_history == history
    for each in (model, resumed):
        _train_a_step(each)
    for one, other in zip(model.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_checkpoint(tmp_path: Path) -> None:
    """Before the end of the first epoch there is nothing to load."""
    assert checkpoint.load(tmp_path / "missing") is None


def test_only_the_last_checkpoint_is_kept(model: keras.Model, tmp_path: Path) -> None:
    """Saving deletes the checkpoint of the epoch before."""
    checkpoint.save(tmp_path, model, (_METRICS,))
    checkpoint.save(tmp_path, model, (_METRICS, _METRICS))
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == [checkpoint.file_name(2), "state.json"]


def test_crash_before_the_state_is_written(model: keras.Model, tmp_path: Path) -> None:
    """A newer checkpoint file that state.json does not name yet is ignored."""
    checkpoint.save(tmp_path, model, (_METRICS,))
    (tmp_path / checkpoint.file_name(2)).write_bytes(b"PK\x03\x04 half a file")
    loaded = checkpoint.load(tmp_path)
    assert loaded is not None
    assert loaded[1] == (_METRICS,)


@pytest.mark.parametrize(
    "state", ["", "[]", '{"checkpoint": "epoch-009.keras", "history": []}', '{"checkpoint": 1}']
)
def test_damaged_state(state: str, tmp_path: Path) -> None:
    """A state.json that is invalid, or names a missing file, is one line with the remedy."""
    (tmp_path / "state.json").write_text(state, "utf-8")
    with pytest.raises(DataError, match=r"checkpoint.*damaged.*delete that folder") as caught:
        checkpoint.load(tmp_path)
    assert "\n" not in str(caught.value)
