"""The images of a training run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fmx_runtime.support.atomic import replacing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from fmx_training.loop.checkpoint import Epoch
    from fmx_training.loop.evaluate import Evaluation

__all__ = ["confusion_figure", "curves_figure", "save"]

_TRAIN, _VALIDATION = "#8a9bb0", "#d1495b"


def curves_figure(history: Sequence[Epoch]) -> Figure:
    """Loss and accuracy by epoch, on the training and on the validation images.

    The training figures are means over an epoch with dropout on, so they can be the worse ones.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    epochs = [record.epoch for record in history]
    for axes, what in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        training = [getattr(record, what) for record in history]
        validation = [getattr(record, f"val_{what}") for record in history]
        axes.plot(epochs, training, color=_TRAIN, marker="o", markersize=3, label="training")
        axes.plot(
            epochs, validation, color=_VALIDATION, marker="o", markersize=3, label="validation"
        )
        axes.set_title(f"{what.capitalize()}: {validation[-1]:.4f} on validation", loc="left")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        if what == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def confusion_figure(evaluation: Evaluation, labels: Sequence[str]) -> Figure:
    """Of each actual class (row), the percentage called each class (column)."""
    from matplotlib.figure import Figure

    counts = np.array(evaluation.confusion, np.float64)
    percent = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.55 * len(labels)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    ticks = range(len(labels))
    axes.set_xticks(ticks, labels, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, labels)
    axes.set_xlabel("called")
    axes.set_ylabel("actual")
    axes.set_title(
        f"{evaluation.data}: {evaluation.accuracy:.2%} of {evaluation.size:,} right\n"
        "percent of each row; empty cells are 0.5 or less",
        loc="left",
        fontsize=10,
    )
    for (row, column), value in np.ndenumerate(percent):
        if value > 0.5:  # noqa: PLR2004
            colour = "white" if value > 50 else "#1b3a5c"  # noqa: PLR2004
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour, size=8)
    axes.spines[:].set_visible(False)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG.

    Raises:
        OutputError: it cannot be written.
    """
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, metadata={"Software": None})
