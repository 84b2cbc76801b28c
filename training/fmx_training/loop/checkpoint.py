"""The state of a training after its last whole epoch, on disk at any moment in a usable form."""

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

__all__ = ["Epoch", "State", "load", "name", "save"]

_STATE = "state.json"


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """Figures of one epoch; losses are mean cross-entropies in nats, accuracies fractions."""

    epoch: int
    """Counted from 1."""
    learning_rate: float
    """At the epoch's end."""
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float


@dataclass(frozen=True)
class State:
    """How far a training has come."""

    checkpoint: str
    """File name of the Keras model with its optimizer."""
    history: tuple[Epoch, ...]


def name(epochs: int) -> str:
    """File name of the checkpoint after so many epochs."""
    return f"epoch-{epochs:03d}.keras"


def save(folder: Path, model: Any, history: tuple[Epoch, ...]) -> None:
    """Keep the model and its history; the checkpoint before it goes when this one is safe.

    state.json names the checkpoint and is replaced after that is whole: a crash in between leaves
    the older pair.

    Raises:
        OutputError: no space, or no permission; the older checkpoint is still there.
    """
    make_folder(folder)
    file = name(len(history))
    with replacing(folder / file) as temporary:
        model.save(temporary)
    write(folder / _STATE, json_codec.encode(State(file, history), indent=2) + "\n")
    for other in folder.glob("epoch-*.keras"):
        if other.name != file:
            with contextlib.suppress(OSError):
                other.unlink()


def load(folder: Path) -> tuple[Any, tuple[Epoch, ...]] | None:
    """The model with its optimizer and the history so far, None before the first epoch's end.

    Raises:
        DataError: the checkpoint is damaged.
    """
    import keras

    from fmx_training.loop.muon import Muon

    path = folder / _STATE
    if not path.exists():
        return None
    try:
        state = json_codec.decode(State, json_codec.parse(path.read_text("utf-8")))
        model = keras.models.load_model(folder / state.checkpoint, {"Muon": Muon})
    # damaged archives, settings and weights raise BadZipFile, KeyError, TypeError and others
    except Exception as error:
        raise DataError(
            f"the checkpoint in '{folder}' is damaged ({error_summary(error)}); "
            "delete that folder to begin this run anew"
        ) from error
    return model, state.history
