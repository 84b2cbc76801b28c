"""Quantization-aware fine-tuning of plain networks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest

from fmx_runtime.images.preprocess import to_tensor
from fmx_training.data.training_examples import from_dataset
from fmx_training.loop.checkpoint import file_name
from fmx_training.loop.quantization_aware import fine_tune, insert_fake_quantization
from fmx_training.networks.fuse_batch_norm import fuse_batch_norm
from fmx_training.run_folder import create_run, open_run
from fmx_training.train import train

if TYPE_CHECKING:
    from fmx_training.data.dataset import Splits
    from fmx_training.run_folder import RunInfo

NANO = Path(__file__).parents[3] / "training" / "trained" / "nano-0"
EPOCHS = 3


def nano() -> Any:
    """The trained network."""
    return keras.models.load_model(NANO / "model.keras", compile=False)


@pytest.fixture
def unequal() -> Any:
    """A trained nano whose first layer has one channel with 100 times the range of the others.

    The predictions are unchanged: the next layer's weights for that channel are divided by 100.
    """
    model = nano()
    first, second = model.layers[1:3]
    scale = np.where(np.arange(first.filters) == 0, 100, 1)
    kernel, bias = first.get_weights()
    first.set_weights([kernel * scale, bias * scale])
    kernel, bias = second.get_weights()
    second.set_weights([kernel / scale[:, np.newaxis], bias])
    return model


def info(epochs: int) -> RunInfo:
    """The run of nano, with this number of epochs of fine-tuning."""
    trained = open_run(NANO).info
    recipe = dataclasses.replace(trained.recipe, quantization_aware_epochs=epochs, batch_size=32)
    return dataclasses.replace(trained, recipe=recipe)


def predictions(model: Any, few: Splits) -> Any:
    """Scores of 500 validation images."""
    return model.predict(to_tensor(few.validation.images, info(0).input), verbose=0)


def fake_quantized(model: Any, few: Splits) -> Any:
    """The network with fake quantization, and with ranges from 500 training images."""
    quantized = insert_fake_quantization(model)
    quantized(to_tensor(few.train.images[:500], info(0).input), training=True)
    return quantized


def agreement(one: Any, other: Any) -> float:
    """The fraction of images that get the same label from both."""
    return float(np.mean(one.argmax(axis=1) == other.argmax(axis=1)))


def test_fake_quantized_weights_are_int8() -> None:
    """The weights of a channel are multiples, -127 to 127, of one step."""
    quantized = insert_fake_quantization(nano())
    image = np.zeros((1, 28, 28, 1), np.float32)
    image[0, 14, 14] = 1  # a convolution of one pixel gives the kernel
    first = quantized.layers[1]
    weights = first.convolution_op(image, first.kernel).numpy()[0, 13:16, 13:16]
    steps = np.abs(first.kernel.numpy()).max(axis=(0, 1, 2)) / 127
    levels = weights / steps
    assert np.abs(levels - levels.round()).max() < 1e-3
    assert np.abs(levels.round()).max(axis=(0, 1)).tolist() == [127] * first.filters
    assert np.abs(weights[::-1, ::-1] - first.kernel.numpy()[:, :, 0]).max() <= steps.max()


def test_fine_tuning_restores_int8_accuracy(unequal: Any, few: Splits) -> None:
    """A network that int8 ruins gives the same labels in int8 as in float after fine-tuning."""
    expected = predictions(unequal, few)
    before = agreement(predictions(fake_quantized(unequal, few), few), expected)
    lines: list[str] = []
    fine_tune(unequal, info(EPOCHS), from_dataset(few.train), report=lines.append)
    after = agreement(predictions(fake_quantized(unequal, few), few), expected)
    assert before < 0.5
    assert after > 0.8
    assert agreement(predictions(unequal, few), expected) > 0.85
    assert len(lines) == EPOCHS


def test_run_saves_the_fine_tuned_network(few: Splits, tmp_path: Path) -> None:
    """model.keras is the fine-tuned network, also if the run was killed during fine-tuning."""
    examples = from_dataset(few.train)
    run_info = dataclasses.replace(info(1), epochs=1, teachers=(), examples_digest=examples.sha256)
    run = create_run(tmp_path / "run", run_info)
    lines: list[str] = []

    def complete() -> list[Any]:
        train(run, examples, few.validation, lambda: few.test, report=lines.append)
        weights: list[Any] = keras.models.load_model(run.model_path).get_weights()
        return weights

    first = complete()
    assert [line.split("/")[0] for line in lines] == ["epoch  1", "int8 epoch 1"]
    for path in (run.model_path, run.metrics_path):
        path.unlink()
    pairs = list(zip(first, complete(), strict=True))
    assert all(np.array_equal(one, other) for one, other in pairs)
    last = fuse_batch_norm(keras.models.load_model(run.checkpoints / file_name(1), compile=False))
    assert not np.array_equal(first[0], last.get_weights()[0])
