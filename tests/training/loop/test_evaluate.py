"""Mistakes, counted and said in words."""

from __future__ import annotations

from fmx_training.loop.evaluate import ConfusedPair, Evaluation, confused_pairs, in_words

_CONFUSION = ((90, 10, 0), (3, 95, 2), (10, 0, 90))


def test_pairs_come_most_frequent_first() -> None:
    """Only mistakes are listed, the most frequent first, equal ones by name."""
    evaluation = Evaluation("x", 300, 0.9, 0.3, _CONFUSION)
    pairs = confused_pairs(evaluation, ("a", "b", "c"))
    assert [(pair.actual, pair.called, pair.count) for pair in pairs] == [
        ("a", "b", 10),
        ("c", "a", 10),
        ("b", "a", 3),
        ("b", "c", 2),
    ]
    assert confused_pairs(evaluation, ("a", "b", "c"), top=1) == pairs[:1]


def test_words() -> None:
    """A pair is a sentence with its count and its share."""
    words = in_words(ConfusedPair("Shirt", "Coat", 96, 1000))
    assert words == "Shirt is taken for Coat: 96 of 1,000 (9.6 %)"
