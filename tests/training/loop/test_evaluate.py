"""Evaluation of a network: the most confused classes."""

from __future__ import annotations

from fmx_training.loop.evaluate import ConfusedPair, Evaluation, confused_pairs

_CONFUSION = ((90, 10, 0), (3, 95, 2), (10, 0, 90))


def test_most_frequent_confusions_come_first() -> None:
    """Only errors are listed, the most frequent first, equally frequent ones by name."""
    evaluation = Evaluation("x", 300, 0.9, 0.3, _CONFUSION)
    pairs = confused_pairs(evaluation, ("a", "b", "c"))
    assert [(pair.actual, pair.predicted, pair.count) for pair in pairs] == [
        ("a", "b", 10),
        ("c", "a", 10),
        ("b", "a", 3),
        ("b", "c", 2),
    ]
    assert confused_pairs(evaluation, ("a", "b", "c"), top=1) == pairs[:1]


def test_confused_pair_as_text() -> None:
    """The text of a pair has the number of images and their percentage."""
    pair = ConfusedPair("Shirt", "Coat", 96, 1000)
    assert str(pair) == "Shirt predicted as Coat: 96 of 1,000 (9.6 %)"
