"""The training loop: the same seed gives the same weights, however often it was interrupted."""

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
from fmx_training import run_folder
from fmx_training.data.training_examples import from_dataset
from fmx_training.loop import checkpoint
from fmx_training.loop.fit import fit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fmx_training.data.dataset import Splits
    from fmx_training.data.fashion_mnist import Found
    from fmx_training.run_folder import Run

_TRAIN_SCRIPT = """
import sys
from pathlib import Path
from fmx_training import run_folder
from fmx_training.data import fashion_mnist
from fmx_training.data.training_examples import from_dataset
from fmx_training.train import train
splits = fashion_mnist.load(Path(sys.argv[2]))
train(
    run_folder.open_run(Path(sys.argv[1])),
    from_dataset(splits.train.balanced_sample(2000, 0)),
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


def _without_times(run: Run) -> list[checkpoint.EpochMetrics]:
    state = checkpoint.load(run.checkpoints)
    assert state is not None
    return [dataclasses.replace(record, seconds=0) for record in state[1]]


def test_same_seed_gives_the_same_weights(
    create_run: Callable[..., Run], train: Callable[..., None], finished: Run, tmp_path: Path
) -> None:
    """A run with the same seed ends with the same weights, one with another seed does not."""
    second, other = create_run(tmp_path / "second"), create_run(tmp_path / "other", seed=1)
    train(second)
    train(other)
    assert _same_weights(finished, second)
    assert not _same_weights(finished, other)


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_killed_run_resumes_to_the_same_weights(  # noqa: PLR0917 (fixtures)
    stop: signal.Signals,
    create_run: Callable[..., Run],
    train: Callable[..., None],
    finished: Run,
    found: Found,
    tmp_path: Path,
) -> None:
    """A run killed during an epoch loses that epoch only, and ends with equal files."""
    run = create_run(tmp_path / "killed")
    command = [sys.executable, "-c", _TRAIN_SCRIPT, str(run.folder), str(found.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("epoch  1/3")
        time.sleep(0.3)  # into the second epoch
        process.send_signal(stop)
    assert process.returncode != 0
    assert not run.finished
    saved = len(_without_times(run))
    assert saved in {1, 2}
    lines: list[str] = []
    train(run, lines.append)
    assert len(lines) == 3 - saved
    assert _same_weights(finished, run)
    assert _without_times(run) == _without_times(finished)
    assert run.metrics_path.read_bytes() == finished.metrics_path.read_bytes()
    assert {path.name for path in run.folder.iterdir()} == {
        path.name for path in finished.folder.iterdir()
    }


def test_incomplete_checkpoint_is_ignored(
    create_run: Callable[..., Run], few: Splits, tmp_path: Path
) -> None:
    """The temporary file of a killed run is not taken for a checkpoint."""
    run = create_run(tmp_path / "cut", epochs=1)
    fit(run, from_dataset(few.train), few.validation, report=lambda _: None)
    (run.checkpoints / ".epoch-002.4711.part.keras").write_bytes(b"PK\x03\x04 half a file")
    state = checkpoint.load(run.checkpoints)
    assert state is not None
    assert len(state[1]) == 1


def test_damaged_state_file(create_run: Callable[..., Run], few: Splits, tmp_path: Path) -> None:
    """A state.json that cannot be read is one line that names the folder and the remedy."""
    run = create_run(tmp_path / "damaged", epochs=2)
    run.checkpoints.mkdir()
    (run.checkpoints / "state.json").write_text("{", "utf-8")
    with pytest.raises(DataError, match=r"checkpoint.*damaged.*delete that folder"):
        fit(run, from_dataset(few.train), few.validation, report=lambda _: None)


def test_damaged_checkpoint_file(
    create_run: Callable[..., Run], few: Splits, tmp_path: Path
) -> None:
    """A damaged Keras file is one line too, whatever error Keras raises."""
    run = create_run(tmp_path / "flipped", epochs=2)
    run.checkpoints.mkdir()
    (run.checkpoints / "state.json").write_text(
        '{"checkpoint": "epoch-001.keras", "history": []}', "utf-8"
    )
    (run.checkpoints / "epoch-001.keras").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DataError, match=r"checkpoint.*damaged.*delete that folder") as caught:
        fit(run, from_dataset(few.train), few.validation, report=lambda _: None)
    assert "\n" not in str(caught.value)


def test_other_data_is_refused(
    create_run: Callable[..., Run], splits: Splits, few: Splits, tmp_path: Path
) -> None:
    """A run cannot continue with other training images."""
    run = create_run(tmp_path / "run")
    other = dataclasses.replace(few, train=splits.train.balanced_sample(2000, 1))
    with pytest.raises(DataError, match="other training data"):
        fit(run, from_dataset(other.train), few.validation, report=lambda _: None)


def test_diverging_training_stops(
    create_run: Callable[..., Run], few: Splits, tmp_path: Path
) -> None:
    """A loss that is not a number ends the training; no checkpoint of it is saved."""
    run = create_run(tmp_path / "diverges", epochs=2)
    recipe = dataclasses.replace(run.info.recipe, learning_rate=float("inf"))
    broken = run_folder.Run(run.folder, dataclasses.replace(run.info, recipe=recipe))
    with pytest.raises(DataError, match=r"the loss is nan in epoch 1"):
        fit(broken, from_dataset(few.train), few.validation, report=lambda _: None)
    assert checkpoint.load(run.checkpoints) is None


def test_only_the_last_checkpoint_is_kept(finished: Run) -> None:
    """A finished run has one checkpoint; model.keras is smaller, as it has no optimizer."""
    assert [path.name for path in finished.checkpoints.glob("*.keras")] == ["epoch-003.keras"]
    assert os.path.getsize(finished.model_path) < 0.5 * os.path.getsize(  # noqa: PTH202
        finished.checkpoints / "epoch-003.keras"
    )


def test_no_space_for_checkpoints(
    create_run: Callable[..., Run], few: Splits, tmp_path: Path
) -> None:
    """A full disk is one line that names the file; the checkpoint before it is complete."""
    small = tmp_path / "small"
    small.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=5m", "none", str(small)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk takes root")
    try:
        run = create_run(small / "run")
        examples = from_dataset(few.train)
        with pytest.raises(OutputError, match=r"cannot write to '.*/small/run/.*[Nn]o space"):
            fit(run, examples, few.validation, report=lambda _: None)
        state = checkpoint.load(run.checkpoints)
        assert state is not None
        assert len(state[1]) == 1
    finally:
        subprocess.run(["umount", str(small)], check=True)
