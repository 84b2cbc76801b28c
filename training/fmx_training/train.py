"""A run from its first epoch, or from where it stopped, to its last artefact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmx_runtime import codec
from fmx_runtime.atomic import replacing, write
from fmx_training import checkpoint, plots
from fmx_training.evaluate import Evaluation, confused_pairs, evaluate, in_words
from fmx_training.fit import fit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fmx_training.checkpoint import Epoch
    from fmx_training.dataset import Splits
    from fmx_training.run import Run

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


def train(run: Run, splits: Splits, *, report: Callable[[str], None]) -> Metrics:
    """Train the run's network and write everything that belongs into its folder.

    The test pictures are looked at once, when training is over, and decide nothing.

    Args:
        run: begun with `fmx_training.run.create`, or stopped at any moment since.
        splits: the data it was begun with.
        report: called with one line about each epoch.

    Returns:
        What metrics.json holds.

    Raises:
        DataError: other data than the run was begun with, or the loss is no number.
        OutputError: a file cannot be written.
    """
    model, history = fit(run, splits, report=report)
    spec, labels = run.info.input, run.info.labels
    test = evaluate(model, spec, splits.test)
    metrics = Metrics(
        epochs=len(history),
        validation=evaluate(model, spec, splits.validation),
        test=test,
        confused=tuple(in_words(pair) for pair in confused_pairs(test, labels)),
    )
    _save_without_optimizer(run)
    write(run.history_path, codec.encode(_History(history), indent=2) + "\n")
    plots.save(plots.curves_figure(history), run.folder / "curves.png")
    plots.save(plots.confusion_figure(test, labels), run.folder / "confusion.png")
    write(run.folder / "confused.txt", "".join(f"{line}\n" for line in metrics.confused))
    write(run.metrics_path, codec.encode(metrics, indent=2) + "\n")
    return metrics


def _save_without_optimizer(run: Run) -> None:
    """model.keras needs no optimizer, which is two thirds of a checkpoint."""
    import keras

    last: Path = run.checkpoints / checkpoint.name(run.info.epochs)
    model = keras.models.load_model(last, compile=False)
    with replacing(run.model_path) as temporary:
        model.save(temporary)
