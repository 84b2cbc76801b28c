"""Start, resume and complete a training run."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmx_runtime.support import json_codec
from fmx_runtime.support.atomic import replacing, write
from fmx_training import run_folder
from fmx_training.data import training_data
from fmx_training.loop import checkpoint, distillation
from fmx_training.loop.evaluate import Evaluation, confused_pairs, evaluate
from fmx_training.loop.fit import fit
from fmx_training.loop.plots.confusion_matrix import plot_confusion_matrix
from fmx_training.loop.plots.learning_curves import plot_learning_curves
from fmx_training.loop.plots.png import save_png
from fmx_training.networks.fuse_batch_norm import fuse_batch_norm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fmx_training.data.dataset import Dataset
    from fmx_training.data.training_data import TrainingData
    from fmx_training.data.training_examples import Examples
    from fmx_training.loop.checkpoint import EpochMetrics
    from fmx_training.loop.distillation import Teacher
    from fmx_training.options import TrainOptions
    from fmx_training.run_folder import Run

__all__ = [
    "Metrics",
    "PreparedRun",
    "complete_run",
    "open_unfinished_run",
    "resume_run",
    "start_run",
    "train",
]


@dataclass(frozen=True)
class PreparedRun:
    """An unfinished run with its images and teachers in memory, ready to be trained."""

    run: Run
    data: TrainingData
    teachers: tuple[Teacher, ...] = ()


@dataclass(frozen=True)
class Metrics:
    """The contents of metrics.json: figures of the trained network.

    Attributes:
        epochs: number of epochs that it was trained for.
        validation: figures on the validation images.
        test: figures on the test images.
        confused_pairs: the most frequent confusions of test images, one sentence each.
    """

    epochs: int
    validation: Evaluation
    test: Evaluation
    confused_pairs: tuple[str, ...]


@dataclass(frozen=True)
class _History:
    """The contents of history.json."""

    epochs: tuple[EpochMetrics, ...]


def start_run(
    options: TrainOptions,
    runs: Path,
    *,
    watch: Callable[[Iterable[Any], int, str], Iterable[Any]],
    report: Callable[[str], None],
) -> PreparedRun:
    """Create the folder of a new run and load what it needs.

    Args:
        options: what to train and on which images.
        runs: folder of run folders, for a run whose options name no folder.
        watch: wraps an iterable, given its length and a description, to show progress.
        report: called with one line about each image that is skipped.

    Returns:
        The run, for `complete_run`.

    Raises:
        DataError: the options are not compatible, the images or teachers cannot be used, or the
            folder holds a run already.
        OutputError: the folder cannot be written to.
    """
    recipe = options.choose_recipe()
    now = dt.datetime.now().astimezone()
    folder = options.output or runs / f"{recipe.name}-{now:%Y%m%d-%H%M%S}"
    run_folder.check_unused(folder)
    teachers = tuple(distillation.open_teacher(teacher) for teacher in options.teachers)
    spec, seed = options.input_spec(recipe), options.seed or 0
    if options.data:
        data, spec = training_data.from_image_folder(
            options.data, spec, seed, gray=not options.backbone, watch=watch, report=report
        )
    else:
        data = training_data.from_fashion_mnist(
            options.data_dir, options.photos, spec, watch=watch, report=report
        )
    for teacher in teachers:
        distillation.check_compatible(teacher, spec.shape, data.splits.train.class_names)
    info = run_folder.describe_run(
        recipe,
        data.splits.train,
        data.examples,
        spec,
        teachers=tuple(teacher.info for teacher in teachers),
        backbone=options.backbone or "",
        backbone_weights=options.backbone_weights,
        epochs=options.epochs,
        seed=seed,
    )
    data.save(folder)
    return PreparedRun(run_folder.create_run(folder, info), data, teachers)


def open_unfinished_run(options: TrainOptions, runs: Path) -> Run:
    """Open the run to resume: the one in the given folder, or the newest unfinished one.

    Args:
        options: where the run is; settings that are given must be those it was started with.
        runs: folder of run folders, for options that name no folder.

    Raises:
        DataError: there is no such run, or it was started with other settings.
    """
    if options.output:
        run = run_folder.open_run(options.output)
    else:
        run = run_folder.newest_run(runs, finished=False)
    options.check_resumes(run)
    return run


def resume_run(options: TrainOptions, runs: Path) -> PreparedRun:
    """Open an unfinished run and load its images and teachers again.

    Args:
        options: see `open_unfinished_run`.
        runs: likewise.

    Returns:
        The run, for `complete_run`.

    Raises:
        DataError: there is no such run, it was started with other settings, or its images or
            teachers are missing.
    """
    run = open_unfinished_run(options, runs)
    info = run.info
    data = training_data.reload_training_data(
        run.folder, info.labels, info.data_digest, options.data_dir
    )
    teachers = tuple(distillation.open_teacher(Path(teacher.run)) for teacher in info.teachers)
    return PreparedRun(run, data, teachers)


def complete_run(prepared: PreparedRun, *, report: Callable[[str], None]) -> Metrics:
    """Train a run from its last checkpoint to its last epoch, and write all its files.

    Args:
        prepared: the run with its images and teachers.
        report: called with one line about each epoch.

    Returns:
        The contents of metrics.json.

    Raises:
        DataError: the images or teachers are not those of the run, or the training diverged.
        OutputError: a file cannot be written.
    """
    splits = prepared.data.splits
    return train(
        prepared.run,
        prepared.data.examples,
        splits.validation,
        lambda: splits.test,
        prepared.teachers,
        report=report,
    )


def train(
    run: Run,
    examples: Examples,
    validation: Dataset,
    test: Callable[[], Dataset],
    teachers: Sequence[Teacher] = (),
    *,
    report: Callable[[str], None],
) -> Metrics:
    """Train the network of a run and write all files of its folder.

    The test images are only requested after training, so they cannot influence it.

    Args:
        run: a run from `fmx_training.run_folder.create_run`, new or interrupted.
        examples: the training examples.
        validation: the validation images.
        test: returns the test images; called once, after training.
        teachers: the teachers of the run, for distillation.
        report: called with one line about each epoch.

    Returns:
        The contents of metrics.json.

    Raises:
        DataError: the data or teachers are not those of the run, or the training diverged.
        OutputError: a file cannot be written.
    """
    _, history = fit(run, examples, validation, teachers, report=report)
    model = _save_trained_model(run, examples, report)
    spec, labels = run.info.input, run.info.labels
    tested = evaluate(model, spec, test())
    metrics = Metrics(
        epochs=len(history),
        validation=evaluate(model, spec, validation),
        test=tested,
        confused_pairs=tuple(str(pair) for pair in confused_pairs(tested, labels)),
    )
    write(run.history_path, json_codec.encode(_History(history), indent=2) + "\n")
    save_png(plot_learning_curves(history), run.folder / "learning_curves.png")
    save_png(plot_confusion_matrix(tested, labels), run.folder / "confusion_matrix.png")
    lines = "".join(f"{line}\n" for line in metrics.confused_pairs)
    write(run.folder / "confused_pairs.txt", lines)
    write(run.metrics_path, json_codec.encode(metrics, indent=2) + "\n")
    return metrics


def _save_trained_model(run: Run, examples: Examples, report: Callable[[str], None]) -> Any:
    """Write model.keras: the network for inference, without its optimizer; return the network."""
    import keras

    from fmx_training.loop.quantization_aware import fine_tune

    last = run.checkpoints / checkpoint.file_name(run.info.epochs)
    model = fuse_batch_norm(keras.models.load_model(last, compile=False))
    if run.info.recipe.quantization_aware_epochs:
        fine_tune(model, run.info, examples, report=report)
    with replacing(run.model_path) as temporary:
        model.save(temporary)
    return model
