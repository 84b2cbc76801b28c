"""A run from its first epoch, or from where it stopped, to its last artefact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fmx_runtime.support import json_codec
from fmx_runtime.support.atomic import replacing, write
from fmx_training.loop import checkpoint, plots
from fmx_training.loop.evaluate import Evaluation, confused_pairs, evaluate, in_words
from fmx_training.loop.fit import fit
from fmx_training.networks.fuse_batch_norm import fuse_batch_norm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from fmx_training.data.dataset import Dataset
    from fmx_training.data.examples import Examples
    from fmx_training.loop.checkpoint import Epoch
    from fmx_training.loop.distillation import Teacher
    from fmx_training.run_folder import Run

__all__ = ["Metrics", "train"]


@dataclass(frozen=True)
class Metrics:
    """metrics.json: figures of the trained network, and its worst mistakes in words."""

    epochs: int
    validation: Evaluation
    test: Evaluation
    confused: tuple[str, ...]


@dataclass(frozen=True)
class _History:
    epochs: tuple[Epoch, ...]


def train(
    run: Run,
    examples: Examples,
    validation: Dataset,
    test: Callable[[], Dataset],
    teachers: Sequence[Teacher] = (),
    *,
    report: Callable[[str], None],
) -> Metrics:
    """Train the run's network and write everything that belongs into its folder.

    The test images are not even read before the training is over, so nothing can be chosen by
    them.

    Args:
        run: begun with `fmx_training.run_folder.create`, or stopped at any moment since.
        examples: what it learns from.
        validation: images that choose between networks.
        test: reads the test images; called once, at the end.
        teachers: of the run.
        report: called with one line about each epoch.

    Returns:
        What metrics.json holds.

    Raises:
        DataError: other data than the run was begun with, or the loss is no number.
        OutputError: a file cannot be written.
    """
    _, history = fit(run, examples, validation, teachers, report=report)
    model = _save_deployed(run, examples, report)
    spec, labels = run.info.input, run.info.labels
    tested = evaluate(model, spec, test())
    metrics = Metrics(
        epochs=len(history),
        validation=evaluate(model, spec, validation),
        test=tested,
        confused=tuple(in_words(pair) for pair in confused_pairs(tested, labels)),
    )
    write(run.history_path, json_codec.encode(_History(history), indent=2) + "\n")
    plots.save(plots.curves_figure(history), run.folder / "curves.png")
    plots.save(plots.confusion_figure(tested, labels), run.folder / "confusion.png")
    write(run.folder / "confused.txt", "".join(f"{line}\n" for line in metrics.confused))
    write(run.metrics_path, json_codec.encode(metrics, indent=2) + "\n")
    return metrics


def _save_deployed(run: Run, examples: Examples, report: Callable[[str], None]) -> Any:
    """Write model.keras: the network as it is deployed, without its optimizer."""
    import keras

    from fmx_training.loop.quantization_aware import fine_tune

    last: Path = run.checkpoints / checkpoint.name(run.info.epochs)
    model = fuse_batch_norm(keras.models.load_model(last, compile=False))
    if run.info.recipe.int8_epochs:
        fine_tune(model, run.info, examples, report=report)
    with replacing(run.model_path) as temporary:
        model.save(temporary)
    return model
