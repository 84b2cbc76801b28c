"""A training's progress: a bar while an epoch runs, a line when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from tqdm import tqdm

if TYPE_CHECKING:
    from fmx_training.loop.checkpoint import Epoch

__all__ = ["EpochBar", "line"]


class EpochBar(keras.callbacks.Callback):  # type: ignore[misc]
    """Shows the batches of one epoch on stderr, on a terminal only."""

    def __init__(self, name: str, batches: int) -> None:
        """Args: what the epoch is called, its number of batches."""
        super().__init__()
        self._bar = tqdm(
            total=batches,
            desc=name,
            unit="batch",
            leave=False,
            disable=None,
            bar_format="{desc} {bar:30} {percentage:3.0f}% {remaining} left{postfix}",
        )

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """One batch further."""
        figures = logs or {}
        self._bar.set_postfix_str(
            f"loss {figures.get('loss', 0):.4f}, accuracy {figures.get('accuracy', 0):.2%}",
            refresh=False,
        )
        self._bar.update()

    def close(self) -> None:
        """Take the bar away; also after Ctrl-C, where Keras calls nothing any more."""
        self._bar.close()


def line(record: Epoch, epochs: int) -> str:
    """One epoch's figures in a line."""
    return (
        f"epoch {record.epoch:2}/{epochs}  "
        f"training loss {record.loss:.4f}, accuracy {record.accuracy:.2%}  "
        f"validation loss {record.val_loss:.4f}, accuracy {record.val_accuracy:.2%}  "
        f"{record.seconds:.0f} s"
    )
