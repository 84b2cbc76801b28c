"""Accuracy, its intervals, log loss and calibration error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmx_benchmarks.statistics.accuracy import (
    Difference,
    Proportion,
    accuracy_by_class,
    accuracy_difference,
    calibration_error,
    confusion_matrix,
    log_loss,
    proportion,
)


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [
        # R. G. Newcombe: Two-sided confidence intervals for the single proportion, 1998, table I
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_as_published(hits: int, total: int, low: float, high: float) -> None:
    """The interval of a proportion is that of the published examples."""
    assert Proportion(hits, total).interval == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_proportion_lies_in_its_interval(counts: tuple[int, int]) -> None:
    """0 <= low <= value <= high <= 1, and the interval mirrors when hits become misses."""
    hits, total = counts
    share, mirrored = Proportion(hits, total), Proportion(total - hits, total)
    low, high = share.interval
    assert 0 <= low <= share.value + 1e-12
    assert share.value <= high + 1e-12
    assert high <= 1
    assert mirrored.interval == pytest.approx((1 - high, 1 - low))


def test_matched_pairs_as_published() -> None:
    """The interval of a difference is that of the published example."""
    # A. Agresti, Y. Min, 2005, section 2: 1600 voters polled twice, 150 changed their minds to
    # no and 86 to yes: difference -0.04, Wald's 95 % interval -0.0588 to -0.0212
    changed = Difference(gained=86, lost=150, total=1600)
    assert changed.value == pytest.approx(-0.04)
    assert changed.interval == pytest.approx((-0.0588, -0.0212), abs=3e-4)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 1000))
def test_exchanging_models_changes_the_sign(gained: int, lost: int, same: int) -> None:
    """Exchanging model and reference changes the signs and nothing else."""
    total = gained + lost + same + 1
    one, other = Difference(gained, lost, total), Difference(lost, gained, total)
    assert one.value == -other.value
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]))
    assert one.interval[0] <= one.interval[1]


labeled = st.integers(2, 6).flatmap(
    lambda classes: st.tuples(
        st.just(classes),
        st.lists(
            st.tuples(*[st.integers(0, classes - 1)] * 3),
            min_size=1,
            max_size=60,
        ),
    )
)


@given(labeled)
def test_figures_are_consistent(data: tuple[int, list[tuple[int, int, int]]]) -> None:
    """Confusion matrix, accuracy by class and differences count the same images."""
    classes, rows = data
    labels, reference, predictions = (
        np.array(column, np.int64) for column in zip(*rows, strict=True)
    )
    matrix = confusion_matrix(labels, predictions, classes)
    assert matrix.sum() == len(labels)
    assert matrix.trace() == proportion(predictions == labels).hits
    for label, share in enumerate(accuracy_by_class(matrix)):
        of_class = labels == label
        if share is None:
            assert not of_class.any()
        else:
            assert share.value == pytest.approx(np.mean(predictions[of_class] == label))
    change = accuracy_difference(labels, reference, predictions)
    expected = np.mean(predictions == labels) - np.mean(reference == labels)
    assert change.value == pytest.approx(expected)


def test_mcnemar_as_published() -> None:
    """The exact p-value is that of R. A. Fagerland et al., 2013: 1 and 7 pairs, p = 0.0703."""
    assert Difference(gained=7, lost=1, total=21).p_value == pytest.approx(0.0703, abs=1e-4)
    assert Difference(gained=0, lost=0, total=5).p_value == 1


def test_log_loss_and_its_smallest_score() -> None:
    """The mean of -ln p; a score of 0 counts as half a quantization step of eight bits."""
    assert log_loss(np.array([1.0, 0.5])) == pytest.approx(np.log(2) / 2)
    assert log_loss(np.array([0.0])) == pytest.approx(np.log(512))


def test_calibration_error() -> None:
    """Calibrated scores have no error; a wrong prediction with score 1 has an error of 1."""
    scores, hits = np.array([0.75] * 4), np.array([True, True, True, False])
    assert calibration_error(scores, hits) == pytest.approx(0)
    assert calibration_error(np.array([1.0]), np.array([False])) == 1
