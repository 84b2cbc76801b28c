"""The folder of a training run: its files, and how a run is created, opened and found.

::

    run.json        settings of the run: recipe, data, seed; written first
    checkpoint/     epoch-NNN.keras with the optimizer's state, and state.json that names it
    data/           copies of the user's own images, see `fmx_training.data.saved_images`
    model.keras     the trained network
    history.json    figures of each epoch
    metrics.json    accuracy, loss and confusion matrix on the validation and test images; written
                    last
    learning_curves.png    confusion_matrix.png    confused_pairs.txt
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
    from fmx_training.data.training_examples import Examples

__all__ = [
    "Run",
    "RunInfo",
    "TeacherInfo",
    "check_unused",
    "create_run",
    "describe_run",
    "input_spec",
    "newest_run",
    "open_run",
]

_RUN = "run.json"
_METRICS = "metrics.json"


@dataclass(frozen=True)
class TeacherInfo:
    """Reference to a run whose network is a teacher.

    Attributes:
        run: the run folder, as the user named it.
        sha256: SHA-256 of its model.keras.
    """

    run: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """The contents of run.json: everything that determines the result of a run.

    Attributes:
        recipe: the hyper-parameters.
        epochs: number of epochs.
        seed: random seed.
        data: name of the training data.
        data_digest: SHA-256 of the training images and labels.
        labels: names of the classes.
        input: input of the network.
        examples_digest: SHA-256 of all training examples, photos included.
        backbone: name of a network of keras.applications that is trained instead of the recipe's
            network, see `fmx_training.networks.backbones`; empty for none.
        backbone_weights: its initial weights: ``imagenet``, ``none``, or a file.
        teachers: the runs that the network is distilled from.
    """

    recipe: Recipe
    epochs: int
    seed: int
    data: str
    data_digest: str
    labels: tuple[str, ...]
    input: InputSpec
    examples_digest: str = ""
    backbone: str = ""
    backbone_weights: str = ""
    teachers: tuple[TeacherInfo, ...] = ()


@dataclass(frozen=True)
class Run:
    """A run folder and the contents of its run.json."""

    folder: Path
    info: RunInfo

    @property
    def model_path(self) -> Path:
        """File of the trained network."""
        return self.folder / "model.keras"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoint after the last completed epoch."""
        return self.folder / "checkpoint"

    @property
    def history_path(self) -> Path:
        """File with the figures of each epoch."""
        return self.folder / "history.json"

    @property
    def metrics_path(self) -> Path:
        """File with the figures of the trained network."""
        return self.folder / _METRICS

    @property
    def finished(self) -> bool:
        """Whether the run is complete."""
        return self.metrics_path.exists()


def input_spec(
    recipe: Recipe,
    shape: tuple[int, ...],
    *,
    polarity: Literal["light-on-dark", "any"],
    subject: Literal["whole", "garment"] = "whole",
) -> InputSpec:
    """Return the input specification of a network that is trained with a recipe.

    Args:
        recipe: gives the scale and offset of the pixels.
        shape: ``(height, width, channels)`` of the images.
        polarity: see `fmx_runtime.model_file.metadata.InputSpec`.
        subject: likewise.
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


def describe_run(
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
    """Return the description of a run that trains with this recipe on these images.

    Args:
        recipe: the hyper-parameters.
        train: the training images.
        examples: all training examples; includes ``train``.
        spec: input of the network.
        teachers: the runs to distill from.
        backbone: see `RunInfo`.
        backbone_weights: likewise.
        epochs: number of epochs; None for the recipe's own number.
        seed: random seed, 0 or more.
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


def check_unused(folder: Path) -> None:
    """Check that a folder holds no run, before the work whose result goes there.

    Raises:
        DataError: it holds one.
    """
    if not (folder / _RUN).exists():
        return
    if (folder / _METRICS).exists():
        raise DataError(f"'{folder}' holds a finished run; choose another folder with -o")
    raise DataError(
        f"'{folder}' holds an unfinished run; continue it with --resume, or choose another folder "
        "with -o"
    )


def create_run(folder: Path, info: RunInfo) -> Run:
    """Create the folder of a new run and write its run.json.

    Raises:
        DataError: the folder holds a run already.
        OutputError: the folder cannot be written to.
    """
    check_unused(folder)
    make_folder(folder)
    write(folder / _RUN, json_codec.encode(info, indent=2) + "\n")
    return Run(folder, info)


def open_run(folder: Path) -> Run:
    """Open a run folder, finished or not.

    Raises:
        DataError: the folder holds no run, or its run.json is damaged.
    """
    path = folder / _RUN
    try:
        return Run(folder, json_codec.decode(RunInfo, json_codec.parse(path.read_text("utf-8"))))
    except FileNotFoundError as error:
        raise DataError(
            f"'{folder}' holds no training run (no run.json); 'fmx train' creates one"
        ) from error
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"'{path}' {error}") from error


def newest_run(root: Path, *, finished: bool) -> Run:
    """Return the run below a folder that was started last.

    Args:
        root: folder of run folders.
        finished: whether to look for a finished run or for an unfinished one.

    Raises:
        DataError: there is none.
    """
    paths = sorted(root.glob(f"*/{_RUN}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in paths:
        run = open_run(path.parent)
        if run.finished == finished:
            return run
    kind = "finished" if finished else "unfinished"
    raise DataError(f"no {kind} training run in '{root}'; 'fmx train' creates one")
