"""Show the progress of a training: a bar during an epoch, a line after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from fmx_training.loop.checkpoint import EpochMetrics

__all__ = ["EpochProgressBar", "epoch_summary"]


class EpochProgressBar(keras.callbacks.Callback):  # type: ignore[misc]
    """Keras callback that shows the batches of one epoch as a bar on stderr.

    It shows nothing if stderr is not a terminal. Call `close` when the epoch is over or was
    interrupted: Keras calls no callback after Ctrl-C.
    """

    def __init__(self, name: str, batches: int) -> None:
        """Start the bar.

        Args:
            name: the text before the bar.
            batches: number of batches in the epoch.
        """
        super().__init__()
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(30),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(name, total=batches, metrics="")
        self._bar.start()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Advance the bar by one batch."""
        values = logs or {}
        self._bar.update(
            self._task,
            advance=1,
            metrics=f"loss {values.get('loss', 0):.4f}, accuracy {values.get('accuracy', 0):.2%}",
        )

    def close(self) -> None:
        """Remove the bar."""
        self._bar.stop()


def epoch_summary(metrics: EpochMetrics, epochs: int) -> str:
    """Return one line with the figures of an epoch.

    Args:
        metrics: the figures.
        epochs: number of epochs of the training.
    """
    return (
        f"epoch {metrics.epoch:2}/{epochs}  "
        f"training loss {metrics.loss:.4f}, accuracy {metrics.accuracy:.2%}  "
        f"validation loss {metrics.val_loss:.4f}, accuracy {metrics.val_accuracy:.2%}  "
        f"{metrics.seconds:.0f} s"
    )
