"""The folder of one training run: what is in it, and which run is the newest.

::

    run.json        what is trained, on what, how: written first
    checkpoint/     epoch-NN.keras with the optimizer's state, and state.json that names it
    model.keras     the trained network
    history.json    figures of each epoch
    metrics.json    accuracy, loss and confusion on the validation and test images: written last
    curves.png      confusion.png      confused.txt
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fmx_runtime.errors import DataError
from fmx_runtime.model_file.metadata import InputSpec
from fmx_runtime.support import json_codec
from fmx_runtime.support.atomic import make_folder, write
from fmx_training.recipes import Recipe  # noqa: TC001 (the codec reads this type)

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_training.data.dataset import Dataset
    from fmx_training.data.examples import Examples

__all__ = [
    "Run",
    "RunInfo",
    "TeacherInfo",
    "check_free",
    "create",
    "input_spec",
    "newest",
    "open_run",
    "plan",
]

_METRICS = "metrics.json"


@dataclass(frozen=True)
class TeacherInfo:
    """A run whose network teaches another."""

    run: str
    """Its folder, as it was named."""
    sha256: str
    """Of its model.keras."""


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """What a run trains, on what and how: all that decides its result."""

    recipe: Recipe
    epochs: int
    seed: int
    data: str
    """Name of the training data."""
    data_digest: str
    """SHA-256 of the training images and labels."""
    labels: tuple[str, ...]
    input: InputSpec
    examples_digest: str = ""
    """SHA-256 of all that is learnt from, photos besides those images."""
    backbone: str = ""
    """Network of keras.applications instead of the recipe's own, see `fmx_training.networks.backbones`."""
    backbone_weights: str = ""
    """What it starts with: ``imagenet``, ``none``, or a file."""
    teachers: tuple[TeacherInfo, ...] = ()
    """The runs whose networks' answers it learns from."""


@dataclass(frozen=True)
class Run:
    """A run folder and what its run.json says."""

    folder: Path
    info: RunInfo

    @property
    def model_path(self) -> Path:
        """The trained network."""
        return self.folder / "model.keras"

    @property
    def checkpoints(self) -> Path:
        """Folder of the state after the last whole epoch."""
        return self.folder / "checkpoint"

    @property
    def history_path(self) -> Path:
        """Figures of each epoch."""
        return self.folder / "history.json"

    @property
    def metrics_path(self) -> Path:
        """Figures of the trained network."""
        return self.folder / _METRICS

    @property
    def finished(self) -> bool:
        """Whether everything is there."""
        return self.metrics_path.exists()


def input_spec(
    recipe: Recipe,
    shape: tuple[int, ...],
    *,
    polarity: Literal["light-on-dark", "any"],
    subject: Literal["whole", "garment"] = "whole",
) -> InputSpec:
    """The input of a network that this recipe trains.

    Args:
        recipe: how to train.
        shape: ``(height, width, channels)`` of the images.
        polarity: theirs, see `fmx_runtime.model_file.metadata.InputSpec`.
        subject: theirs, likewise.
    """
    channels: Any
    height, width, channels = shape
    return InputSpec(
        height=height,
        width=width,
        channels=channels,
        scale=recipe.scale,
        offset=recipe.offset,
        resize="fit",
        polarity=polarity,
        subject=subject,
    )


def plan(
    recipe: Recipe,
    train: Dataset,
    examples: Examples,
    spec: InputSpec,
    *,
    teachers: tuple[TeacherInfo, ...] = (),
    backbone: str = "",
    backbone_weights: str = "",
    epochs: int | None = None,
    seed: int = 0,
) -> RunInfo:
    """What a run with this recipe on these images is.

    Args:
        recipe: how to train.
        train: the training images.
        examples: all that the network learns from, they among them.
        spec: its input.
        teachers: the runs whose networks teach it.
        backbone: see `RunInfo`.
        backbone_weights: likewise.
        epochs: instead of the recipe's own number.
        seed: of everything random, 0 or more.
    """
    return RunInfo(
        recipe=recipe,
        epochs=epochs or recipe.epochs,
        seed=seed,
        data=examples.name,
        data_digest=train.digest(),
        examples_digest=examples.sha256,
        labels=train.class_names,
        input=spec,
        teachers=teachers,
        backbone=backbone,
        backbone_weights=backbone_weights,
    )


def check_free(folder: Path) -> None:
    """Refuse a folder that holds a run, before the work whose result goes there.

    Raises:
        DataError: it holds one.
    """
    if (folder / "run.json").exists():
        how = "a finished run:"
        if not (folder / _METRICS).exists():
            how = "an unfinished run: go on with --resume, or"
        raise DataError(f"'{folder}' holds {how} choose another folder with -o")


def create(folder: Path, info: RunInfo) -> Run:
    """Begin a run in a folder that holds none yet.

    Raises:
        DataError: it holds one.
        OutputError: it cannot be written to.
    """
    check_free(folder)
    make_folder(folder)
    write(folder / "run.json", json_codec.encode(info, indent=2) + "\n")
    return Run(folder, info)


def open_run(folder: Path) -> Run:
    """A run that was begun, finished or not.

    Raises:
        DataError: the folder holds none, or its run.json is damaged.
    """
    path = folder / "run.json"
    try:
        return Run(folder, json_codec.decode(RunInfo, json_codec.parse(path.read_text("utf-8"))))
    except FileNotFoundError as error:
        raise DataError(
            f"'{folder}' holds no training run (no run.json); 'fmx train' makes one"
        ) from error
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"'{path}' {error}") from error


def newest(root: Path, *, finished: bool) -> Run:
    """The run below ``root`` that was begun last.

    Args:
        root: folder of run folders.
        finished: whether to look among the finished runs or among the others.

    Raises:
        DataError: there is none.
    """
    paths = sorted(root.glob("*/run.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in paths:
        run = open_run(path.parent)
        if run.finished == finished:
            return run
    kind = "finished" if finished else "unfinished"
    raise DataError(f"no {kind} training run in '{root}'; 'fmx train' makes one")
