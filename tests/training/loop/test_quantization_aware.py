"""Quantization-aware fine-tuning of plain networks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest

from fmx_runtime.images.preprocess import to_tensor
from fmx_training.data.examples import of_dataset
from fmx_training.loop.checkpoint import name
from fmx_training.loop.quantization_aware import fine_tune, rounding
from fmx_training.networks.fuse_batch_norm import fuse_batch_norm
from fmx_training.run_folder import create_run, open_run
from fmx_training.train import train

if TYPE_CHECKING:
    from fmx_training.data.dataset import Splits
    from fmx_training.run_folder import RunInfo

NANO = Path(__file__).parents[3] / "training" / "trained" / "nano-0"
PASSES = 3


def nano() -> Any:
    """The trained network."""
    return keras.models.load_model(NANO / "model.keras", compile=False)


@pytest.fixture
def unequal() -> Any:
    """A trained nano whose first layer has one channel with a range a hundred times the others'.

    It answers as before: the next layer's weights for that channel are as much smaller.
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
    """That of nano's run, with so many epochs of fine-tuning."""
    known = open_run(NANO).info
    return dataclasses.replace(
        known, recipe=dataclasses.replace(known.recipe, int8_epochs=epochs, batch_size=32)
    )


def answers(model: Any, few: Splits) -> Any:
    """Of 500 validation images."""
    return model.predict(to_tensor(few.validation.images, info(0).input), verbose=0)


def with_ranges(model: Any, few: Splits) -> Any:
    """The rounded network, whose activations have had a look at training images."""
    rounded = rounding(model)
    rounded(to_tensor(few.train.images[:500], info(0).input), training=True)
    return rounded


def agreement(one: Any, other: Any) -> float:
    """The share of images to which both give the same label."""
    return float(np.mean(one.argmax(axis=1) == other.argmax(axis=1)))


def test_rounded_weights_are_int8() -> None:
    """Those of a channel are whole multiples, -127 to 127, of one step."""
    rounded = rounding(nano())
    image = np.zeros((1, 28, 28, 1), np.float32)
    image[0, 14, 14] = 1  # what a convolution without strides makes of it are its weights
    first = rounded.layers[1]
    weights = first.convolution_op(image, first.kernel).numpy()[0, 13:16, 13:16]
    steps = np.abs(first.kernel.numpy()).max(axis=(0, 1, 2)) / 127
    counts = weights / steps
    assert np.abs(counts - counts.round()).max() < 1e-3
    assert np.abs(counts.round()).max(axis=(0, 1)).tolist() == [127] * first.filters
    assert np.abs(weights[::-1, ::-1] - first.kernel.numpy()[:, :, 0]).max() <= steps.max()


def test_fine_tuning_makes_up_for_rounding(unequal: Any, few: Splits) -> None:
    """A network that int8 ruins answers in int8 as it did in float, and still does in float."""
    wanted = answers(unequal, few)
    before = agreement(answers(with_ranges(unequal, few), few), wanted)
    lines: list[str] = []
    fine_tune(unequal, info(PASSES), of_dataset(few.train), report=lines.append)
    after = agreement(answers(with_ranges(unequal, few), few), wanted)
    assert before < 0.5
    assert after > 0.8
    assert agreement(answers(unequal, few), wanted) > 0.85
    assert len(lines) == PASSES


def test_a_run_ends_with_it(few: Splits, tmp_path: Path) -> None:
    """Its network is the fine-tuned one, and the same one if the run was killed in between."""
    examples = of_dataset(few.train)
    run_info = dataclasses.replace(info(1), epochs=1, teachers=(), examples_digest=examples.sha256)
    run = create_run(tmp_path / "run", run_info)
    lines: list[str] = []

    def to_its_end() -> list[Any]:
        train(run, examples, few.validation, lambda: few.test, report=lines.append)
        weights: list[Any] = keras.models.load_model(run.model_path).get_weights()
        return weights

    first = to_its_end()
    assert [line.split("/")[0] for line in lines] == ["epoch  1", "int8 epoch 1"]
    for path in (run.model_path, run.metrics_path):
        path.unlink()
    pairs = list(zip(first, to_its_end(), strict=True))
    assert all(np.array_equal(one, other) for one, other in pairs)
    last = fuse_batch_norm(keras.models.load_model(run.checkpoints / name(1), compile=False))
    assert not np.array_equal(first[0], last.get_weights()[0])
