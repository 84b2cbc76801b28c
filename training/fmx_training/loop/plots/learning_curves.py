"""Plot the learning curves of a training: loss and accuracy after each epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from fmx_training.loop.checkpoint import EpochMetrics

__all__ = ["plot_learning_curves"]

_TRAINING_COLOR, _VALIDATION_COLOR = "#8a9bb0", "#d1495b"


def plot_learning_curves(history: Sequence[EpochMetrics]) -> Figure:
    """Draw loss and accuracy by epoch, on the training and the validation images.

    The training figures are means over an epoch, with dropout and augmentation, so they may be
    worse than the validation figures.

    Args:
        history: the figures of all epochs, one or more.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    epochs = [record.epoch for record in history]
    for axes, metric in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        validation = [getattr(record, f"val_{metric}") for record in history]
        for name, values, color in (
            ("training", [getattr(record, metric) for record in history], _TRAINING_COLOR),
            ("validation", validation, _VALIDATION_COLOR),
        ):
            axes.plot(epochs, values, color=color, marker="o", markersize=3, label=name)
        axes.set_title(f"{metric.capitalize()}: {validation[-1]:.4f} on validation", loc="left")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        if metric == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1))
    return figure
