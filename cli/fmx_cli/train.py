"""``fmx train``."""

from __future__ import annotations

import datetime as dt
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fmx_cli import memory, training_data
from fmx_cli.terminal import bold, note, out
from fmx_runtime.errors import DataError
from fmx_runtime.support.stderr_filter import filter_native_stderr
from fmx_training import recipes
from fmx_training import run_folder as runs
from fmx_training.data import fashion_mnist
from fmx_training.loop import distillation
from fmx_training.networks import backbones

if TYPE_CHECKING:
    from fmx_cli.training_data import TrainingData
    from fmx_training.loop.distillation import Teacher
    from fmx_training.run_folder import Run

__all__ = ["RUNS", "Wanted", "begin", "finish", "go_on", "reopen"]

RUNS = Path("runs")
"""Where run folders go, and where the newest is looked for."""

_SIDE = 64
_BACKBONE_SIDE = 128
_LARGEST_SIDE = 512


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be trained, on what.

    Attributes:
        recipe: name of one; None for what fits the images.
        epochs: instead of the recipe's own number.
        seed: of everything random.
        output: run folder; None for one below `RUNS`.
        data_dir: folder with Fashion-MNIST's files; None to look for them.
        photos: photos of clothes to learn from beside Fashion-MNIST.
        teachers: folders of finished runs, whose networks' answers are learnt as well.
        data: folder of the user's own images, instead of Fashion-MNIST.
        size: height and width that those get, pixels.
        garments: whether those are photos of garments, which are cut out first.
        backbone: network of keras.applications that learns them.
        weights: what it starts with: ``imagenet``, ``none``, or a file.
    """

    recipe: str | None = None
    epochs: int | None = None
    seed: int | None = None
    output: Path | None = None
    data_dir: Path | None = None
    photos: Path | None = None
    teachers: tuple[Path, ...] = ()
    data: Path | None = None
    size: int | None = None
    garments: bool = False
    backbone: str | None = None
    weights: str | None = None


def begin(wanted: Wanted) -> tuple[Run, TrainingData, tuple[Teacher, ...]]:
    """Make the folder of a new run, with what it needs to be gone on with."""
    _check_options(wanted)
    recipe = recipes.get(wanted.recipe or _fitting_recipe(wanted))
    if recipe.network == "backbone" and not wanted.backbone:
        raise DataError(f"recipe '{recipe.name}' trains a network named with --backbone")
    now = dt.datetime.now().astimezone()
    folder = wanted.output or RUNS / f"{recipe.name}-{now:%Y%m%d-%H%M%S}"
    runs.check_free(folder)
    taught = tuple(distillation.open_teacher(teacher) for teacher in wanted.teachers)
    if wanted.data:
        side = wanted.size or (_BACKBONE_SIDE if wanted.backbone else _SIDE)
        spec = runs.input_spec(
            recipe,
            (side, side, 3),
            polarity="light-on-dark" if wanted.garments else "any",
            subject="garment" if wanted.garments else "whole",
        )
        if wanted.backbone:
            backbones.check(wanted.backbone, side, wanted.weights or "imagenet")
            scale, offset = backbones.FAMILIES[wanted.backbone]
            spec = replace(spec, scale=scale, offset=offset)
        images, spec = training_data.from_image_folder(
            wanted.data, spec, wanted.seed or 0, gray=not wanted.backbone
        )
    else:
        spec = runs.input_spec(
            recipe,
            fashion_mnist.SHAPE,
            polarity=fashion_mnist.POLARITY,
            subject=fashion_mnist.SUBJECT,
        )
        images = training_data.from_fashion_mnist(wanted.data_dir, wanted.photos, spec)
    train = images.splits.train
    for teacher in taught:
        distillation.check_fits(teacher, spec.shape, train.class_names)
    info = runs.plan(
        recipe,
        train,
        images.examples,
        spec,
        teachers=tuple(teacher.info for teacher in taught),
        backbone=wanted.backbone or "",
        backbone_weights=(wanted.weights or "imagenet") if wanted.backbone else "",
        epochs=wanted.epochs,
        seed=wanted.seed or 0,
    )
    images.keep(folder)
    return runs.create(folder, info), images, taught


def _check_options(wanted: Wanted) -> None:
    """Refuse options that do not go together."""
    if wanted.data and (wanted.photos or wanted.data_dir):
        other = "--photos" if wanted.photos else "--data-dir"
        raise DataError(f"--data is for your own images, {other} for Fashion-MNIST; give one")
    for option, given in (
        ("--image-size", wanted.size),
        ("--segment-garment", wanted.garments),
        ("--backbone", wanted.backbone),
    ):
        if given and not wanted.data:
            raise DataError(f"{option} goes with --data, which names your own images")
    if wanted.weights and not wanted.backbone:
        raise DataError("--weights goes with --backbone, the network that they are of")
    if wanted.size and wanted.size > _LARGEST_SIDE:
        raise DataError(f"--image-size {wanted.size} is more than {_LARGEST_SIDE} pixels; lower it")


def _fitting_recipe(wanted: Wanted) -> str:
    if wanted.backbone:
        return "finetune"
    return "photo" if wanted.data else recipes.DEFAULT


def reopen(wanted: Wanted) -> Run:
    """The run to go on with; what is said of it besides must be what it was begun with.

    Raises:
        DataError: there is none, or it was begun with another recipe, seed or number of epochs.
    """
    run = runs.open_run(wanted.output) if wanted.output else runs.newest(RUNS, finished=False)
    info = run.info
    for option, asked, begun in (
        ("--recipe", wanted.recipe, info.recipe.name),
        ("--epochs", wanted.epochs, info.epochs),
        ("--seed", wanted.seed, info.seed),
    ):
        if asked not in {None, begun}:
            raise DataError(
                f"'{run.folder}' was begun with {option} {begun}, and --resume goes on with that; "
                f"for {option} {asked} begin a new run"
            )
    for option, given in (
        ("--photos", wanted.photos),
        ("--teacher", wanted.teachers),
        ("--data", wanted.data),
        ("--image-size", wanted.size),
        ("--segment-garment", wanted.garments),
        ("--backbone", wanted.backbone),
        ("--weights", wanted.weights),
    ):
        if given:
            raise DataError(
                f"'{run.folder}' knows what it was begun with: leave out {option} with --resume"
            )
    return run


def go_on(run: Run, data_dir: Path | None) -> None:
    """Train a run that was stopped to the end, or until Ctrl-C."""
    images = training_data.again(run, data_dir)
    taught = tuple(distillation.open_teacher(Path(teacher.run)) for teacher in run.info.teachers)
    finish(run, images, taught)


def finish(run: Run, images: TrainingData, taught: tuple[Teacher, ...] = ()) -> None:
    """Train to the end, or until Ctrl-C."""
    info, examples = run.info, images.examples
    note(
        f"training {info.backbone or info.recipe.name}, {info.epochs} epochs, seed {info.seed}, "
        f"on {len(examples):,} images of {examples.name}; run folder {run.folder}"
    )
    memory.keep_freed()
    try:
        with filter_native_stderr():
            from fmx_training.train import train

            metrics = train(
                run,
                examples,
                images.splits.validation,
                lambda: images.splits.test,
                taught,
                report=note,
            )
    except KeyboardInterrupt:
        note(f"stopped; whole epochs are kept: go on with 'fmx train --resume -o {run.folder}'")
        sys.exit(130)
    for evaluation in (metrics.validation, metrics.test):
        out.print(
            f"{evaluation.data}: accuracy [bold]{evaluation.accuracy:.2%}[/], "
            f"loss [bold]{evaluation.loss:.4f}[/] on {evaluation.size:,} images"
        )
    out.print("most confused test images:")
    for words in metrics.confused:
        out.print(f"  {words}", markup=False)
    out.print(f"{bold(run.folder)} holds the model, its figures and its curves", soft_wrap=True)
