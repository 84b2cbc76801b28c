"""The plot of the confusion matrix."""

from __future__ import annotations

from fmx_training.loop.evaluate import Evaluation
from fmx_training.loop.plots.confusion_matrix import plot_confusion_matrix

_EVALUATION = Evaluation("clothes test", 300, 0.75, 0.3, ((99, 1, 0), (25, 75, 0), (0, 50, 50)))


def test_cells_are_percentages_of_the_actual_class() -> None:
    """Rows are actual classes, columns are predictions; each cell has its row's percentage."""
    (axes,) = plot_confusion_matrix(_EVALUATION, ["hat", "shoe", "bag"]).axes
    cells = {tuple(map(int, text.get_position()))[::-1]: text.get_text() for text in axes.texts}
    assert cells == {
        (0, 0): "99",
        (0, 1): "1",
        (1, 0): "25",
        (1, 1): "75",
        (2, 1): "50",
        (2, 2): "50",
    }
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("actual", "predicted")
    for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [tick.get_text() for tick in ticks] == ["hat", "shoe", "bag"]


def test_title_has_the_accuracy() -> None:
    """The title names the data, the accuracy and the number of images."""
    (axes,) = plot_confusion_matrix(_EVALUATION, ["hat", "shoe", "bag"]).axes
    assert axes.get_title(loc="left").startswith("clothes test: accuracy 75.00% on 300 images\n")


def test_class_without_images() -> None:
    """A class without images has an empty row."""
    empty = Evaluation("x", 10, 1.0, 0.0, ((10, 0), (0, 0)))
    (axes,) = plot_confusion_matrix(empty, ["hat", "shoe"]).axes
    assert [text.get_text() for text in axes.texts] == ["100"]
