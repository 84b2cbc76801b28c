"""The training loop: same seed, same weights, however often it was stopped."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import keras
import numpy as np
import pytest

from fmx_runtime.errors import DataError, OutputError
from fmx_training import run_folder as runs
from fmx_training.data.examples import of_dataset
from fmx_training.loop import checkpoint
from fmx_training.loop.fit import fit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fmx_training.data.dataset import Splits
    from fmx_training.data.fashion_mnist import Found
    from fmx_training.run_folder import Run

_TRAIN_SOME = """
import sys
from pathlib import Path
from fmx_training import fashion_mnist, run
from fmx_training.data.examples import of_dataset
from fmx_training.train import train
splits = fashion_mnist.load(Path(sys.argv[2]))
train(
    run.open_run(Path(sys.argv[1])),
    of_dataset(splits.train.balanced_sample(2000, 0)),
    splits.validation.balanced_sample(500, 0),
    lambda: splits.test.balanced_sample(500, 0),
    report=lambda line: print(line, flush=True),
)
"""


def _weights(run: Run) -> list[np.ndarray]:
    weights: list[np.ndarray] = keras.models.load_model(run.model_path).get_weights()
    return weights


def _same_weights(first: Run, second: Run) -> bool:
    pairs = zip(_weights(first), _weights(second), strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)


def _without_times(run: Run) -> list[checkpoint.Epoch]:
    state = checkpoint.load(run.checkpoints)
    assert state is not None
    return [dataclasses.replace(record, seconds=0) for record in state[1]]


def test_same_seed_gives_the_same_weights(
    begin: Callable[..., Run], train: Callable[..., None], finished: Run, tmp_path: Path
) -> None:
    """A second run with the same seed ends with the same weights, one with another does not."""
    again, other = begin(tmp_path / "again"), begin(tmp_path / "other", seed=1)
    train(again)
    train(other)
    assert _same_weights(finished, again)
    assert not _same_weights(finished, other)


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_goes_on_and_ends_the_same(  # noqa: PLR0917 (fixtures)
    stop: signal.Signals,
    begin: Callable[..., Run],
    train: Callable[..., None],
    finished: Run,
    found: Found,
    tmp_path: Path,
) -> None:
    """A training killed in an epoch loses only that one, and ends with equal artefacts."""
    run = begin(tmp_path / "killed")
    command = [sys.executable, "-c", _TRAIN_SOME, str(run.folder), str(found.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("epoch  1/3")
        time.sleep(0.3)  # into the second epoch
        process.send_signal(stop)
    assert process.returncode != 0
    assert not run.finished
    kept = len(_without_times(run))
    assert kept in {1, 2}
    told: list[str] = []
    train(run, told.append)
    assert len(told) == 3 - kept
    assert _same_weights(finished, run)
    assert _without_times(run) == _without_times(finished)
    assert run.metrics_path.read_bytes() == finished.metrics_path.read_bytes()
    assert {path.name for path in run.folder.iterdir()} == {
        path.name for path in finished.folder.iterdir()
    }


def test_a_checkpoint_cut_short_is_not_used(
    begin: Callable[..., Run], few: Splits, tmp_path: Path
) -> None:
    """What a kill in the middle of writing a checkpoint leaves is passed over."""
    run = begin(tmp_path / "cut", epochs=1)
    fit(run, of_dataset(few.train), few.validation, report=lambda _: None)
    (run.checkpoints / ".epoch-002.4711.part.keras").write_bytes(b"PK\x03\x04 half a file")
    state = checkpoint.load(run.checkpoints)
    assert state is not None
    assert len(state[1]) == 1


def test_a_damaged_checkpoint_is_named(
    begin: Callable[..., Run], few: Splits, tmp_path: Path
) -> None:
    """A checkpoint that cannot be read gives one line that names its folder and the remedy."""
    run = begin(tmp_path / "damaged", epochs=2)
    run.checkpoints.mkdir()
    (run.checkpoints / "state.json").write_text("{", "utf-8")
    with pytest.raises(DataError, match=r"checkpoint.*damaged.*delete that folder"):
        fit(run, of_dataset(few.train), few.validation, report=lambda _: None)


def test_a_flipped_byte_in_a_checkpoint_is_named(
    begin: Callable[..., Run], few: Splits, tmp_path: Path
) -> None:
    """A checkpoint whose archive is damaged is one line too, whatever Keras makes of it."""
    run = begin(tmp_path / "flipped", epochs=2)
    run.checkpoints.mkdir()
    (run.checkpoints / "state.json").write_text(
        '{"checkpoint": "epoch-001.keras", "history": []}', "utf-8"
    )
    (run.checkpoints / "epoch-001.keras").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DataError, match=r"checkpoint.*damaged.*delete that folder") as caught:
        fit(run, of_dataset(few.train), few.validation, report=lambda _: None)
    assert "\n" not in str(caught.value)


def test_other_data_are_refused(
    begin: Callable[..., Run], splits: Splits, few: Splits, tmp_path: Path
) -> None:
    """A run does not go on with other training images than it was begun with."""
    run = begin(tmp_path / "run")
    other = dataclasses.replace(few, train=splits.train.balanced_sample(2000, 1))
    with pytest.raises(DataError, match="other training data"):
        fit(run, of_dataset(other.train), few.validation, report=lambda _: None)


def test_a_diverging_training_stops_and_keeps_the_last_good_state(
    begin: Callable[..., Run], few: Splits, tmp_path: Path
) -> None:
    """A loss that is no number ends the training with one line, the checkpoint before it stays."""
    run = begin(tmp_path / "diverges", epochs=2)
    recipe = dataclasses.replace(run.info.recipe, learning_rate=float("inf"))
    broken = runs.Run(run.folder, dataclasses.replace(run.info, recipe=recipe))
    with pytest.raises(DataError, match=r"the loss is nan in epoch 1"):
        fit(broken, of_dataset(few.train), few.validation, report=lambda _: None)
    assert checkpoint.load(run.checkpoints) is None


def test_checkpoints_do_not_pile_up(finished: Run) -> None:
    """One checkpoint is kept, the last."""
    assert [path.name for path in finished.checkpoints.glob("*.keras")] == ["epoch-003.keras"]
    assert os.path.getsize(finished.model_path) < 0.5 * os.path.getsize(  # noqa: PTH202
        finished.checkpoints / "epoch-003.keras"
    )


def test_no_space_for_checkpoints(begin: Callable[..., Run], few: Splits, tmp_path: Path) -> None:
    """A full disk is one line with the folder, and the last checkpoint that fitted is whole."""
    small = tmp_path / "small"
    small.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=5m", "none", str(small)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk takes root")
    try:
        run = begin(small / "run")
        examples = of_dataset(few.train)
        with pytest.raises(OutputError, match=r"cannot write to '.*/small/run/.*[Nn]o space"):
            fit(run, examples, few.validation, report=lambda _: None)
        state = checkpoint.load(run.checkpoints)
        assert state is not None
        assert len(state[1]) == 1
    finally:
        subprocess.run(["umount", str(small)], check=True)
