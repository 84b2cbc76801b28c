"""Plot the confusion matrix of a trained network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from fmx_training.loop.evaluate import Evaluation

__all__ = ["plot_confusion_matrix"]

_SMALLEST_SHOWN = 0.5
"""Percentages up to this one are not written into their cell."""
_DARK_CELL = 50
"""Percentages above this one are written in white."""


def plot_confusion_matrix(evaluation: Evaluation, labels: Sequence[str]) -> Figure:
    """Draw, for each actual class (row), the percentage predicted as each class (column).

    Args:
        evaluation: has the confusion matrix.
        labels: names of the classes.
    """
    from matplotlib.figure import Figure

    counts = np.array(evaluation.confusion_matrix, np.float64)
    percent = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.55 * len(labels)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    ticks = range(len(labels))
    axes.set_xticks(ticks, labels, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")
    axes.set_title(
        f"{evaluation.data}: accuracy {evaluation.accuracy:.2%} on {evaluation.size:,} images\n"
        f"percent of each row; empty cells: {_SMALLEST_SHOWN} or less",
        loc="left",
        fontsize=10,
    )
    for (row, column), value in np.ndenumerate(percent):
        if value > _SMALLEST_SHOWN:
            color = "white" if value > _DARK_CELL else "#1b3a5c"
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=color, size=8)
    axes.spines[:].set_visible(False)
    return figure
