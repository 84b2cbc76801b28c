"""The plot of the learning curves."""

from __future__ import annotations

from fmx_training.loop.checkpoint import EpochMetrics
from fmx_training.loop.plots.learning_curves import plot_learning_curves

_HISTORY = [
    EpochMetrics(
        epoch=epoch,
        learning_rate=0.1,
        loss=1 / epoch,
        accuracy=1 - 0.5 / epoch,
        val_loss=2 / epoch,
        val_accuracy=1 - 0.6 / epoch,
        seconds=1,
    )
    for epoch in (1, 2, 3)
]


def test_curves_show_the_history() -> None:
    """Loss and accuracy are drawn by epoch, for training and validation images."""
    figure = plot_learning_curves(_HISTORY)
    curves = {
        f"{axes.get_title(loc='left').split(':')[0]} {line.get_label()}": line
        for axes in figure.axes
        for line in axes.get_lines()
    }
    assert {name: list(line.get_ydata()) for name, line in curves.items()} == {
        "Loss training": [one.loss for one in _HISTORY],
        "Loss validation": [one.val_loss for one in _HISTORY],
        "Accuracy training": [one.accuracy for one in _HISTORY],
        "Accuracy validation": [one.val_accuracy for one in _HISTORY],
    }
    assert all(list(line.get_xdata()) == [1, 2, 3] for line in curves.values())


def test_titles_have_the_last_validation_figures() -> None:
    """The titles give the validation figures of the last epoch."""
    titles = [axes.get_title(loc="left") for axes in plot_learning_curves(_HISTORY).axes]
    assert titles == ["Loss: 0.6667 on validation", "Accuracy: 0.8000 on validation"]
