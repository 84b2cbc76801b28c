"""Save and load the state of a training after each epoch."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fmx_runtime.errors import DataError
from fmx_runtime.support import json_codec
from fmx_runtime.support.atomic import make_folder, replacing, write
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CheckpointState", "EpochMetrics", "file_name", "load", "save"]

_STATE = "state.json"


@dataclass(frozen=True, kw_only=True)
class EpochMetrics:
    """Figures of one epoch.

    Attributes:
        epoch: number of the epoch, from 1.
        learning_rate: learning rate at the end of the epoch.
        loss: mean categorical cross-entropy on the training images, in nats.
        accuracy: accuracy on the training images, 0..1.
        val_loss: as ``loss``, on the validation images.
        val_accuracy: as ``accuracy``, on the validation images.
        seconds: duration of the epoch.
    """

    epoch: int
    learning_rate: float
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float


@dataclass(frozen=True)
class CheckpointState:
    """The contents of state.json.

    Attributes:
        checkpoint: file name of the Keras model with its optimizer.
        history: the figures of all epochs so far.
    """

    checkpoint: str
    history: tuple[EpochMetrics, ...]


def file_name(epochs: int) -> str:
    """Return the file name of the checkpoint after this number of epochs."""
    return f"epoch-{epochs:03d}.keras"


def save(folder: Path, model: Any, history: tuple[EpochMetrics, ...]) -> None:
    """Save the model and its history, then delete the checkpoint before it.

    A crash at any moment leaves a complete checkpoint: state.json names the checkpoint file, and is
    replaced only after that file is complete.

    Args:
        folder: folder of checkpoints; created if needed.
        model: Keras model with its optimizer.
        history: the figures of all epochs so far.

    Raises:
        OutputError: no space or no permission; the previous checkpoint is still there.
    """
    make_folder(folder)
    file = file_name(len(history))
    with replacing(folder / file) as temporary:
        model.save(temporary)
    write(folder / _STATE, json_codec.encode(CheckpointState(file, history), indent=2) + "\n")
    for other in folder.glob("epoch-*.keras"):
        if other.name != file:
            with contextlib.suppress(OSError):
                other.unlink()


def load(folder: Path) -> tuple[Any, tuple[EpochMetrics, ...]] | None:
    """Load the last checkpoint.

    Args:
        folder: folder of checkpoints.

    Returns:
        The Keras model with its optimizer, and the figures of all epochs so far; None before the
        end of the first epoch.

    Raises:
        DataError: the checkpoint is damaged.
    """
    import keras

    from fmx_training.loop.muon import Muon

    path = folder / _STATE
    if not path.exists():
        return None
    try:
        state = json_codec.decode(CheckpointState, json_codec.parse(path.read_text("utf-8")))
        model = keras.models.load_model(folder / state.checkpoint, {"Muon": Muon})
    # damaged archives, settings and weights raise BadZipFile, KeyError, TypeError and others
    except Exception as error:
        raise DataError(
            f"the checkpoint in '{folder}' is damaged ({error_summary(error)}); "
            "delete that folder to start this run again"
        ) from error
    return model, state.history
