"""Metrics and the intervals of their changes, on the samples of the reference report."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmx_benchmarks.statistics.analysis import Analysis
from fmx_benchmarks.statistics.metrics import METRICS, Side, change, value
from fmx_runtime.bench.result import Result

if TYPE_CHECKING:
    from numpy.typing import NDArray

REFERENCE = Path(__file__).parents[3] / "benchmarks" / "reference" / "result.json"
LATENCIES = ("latency_p50", "latency_p90", "latency_p99")


@pytest.fixture(scope="module")
def side() -> Side:
    """The TFLite int8 file as it was measured for the reference report."""
    result = Result.from_json(REFERENCE.read_text("utf-8"))
    return _kind(Analysis(result, result.runs[0]), "int8")


def _kind(analysis: Analysis, precision: str) -> Side:
    (found,) = (
        one for one in analysis.variants if (one.format, one.precision) == ("tflite", precision)
    )
    return Side(analysis, found)


def _with(side: Side, **values: Any) -> Side:
    """The same model, with other samples."""
    forged = dataclasses.replace(side.variant, **values)
    run = dataclasses.replace(
        side.analysis.run,
        variants=tuple(forged if one is side.variant else one for one in side.analysis.variants),
    )
    return Side(Analysis(dataclasses.replace(side.analysis.result, runs=(run,)), run), forged)


def _noisy(side: Side, draw: np.random.Generator, *, repeats: int = 20, slower: float = 1) -> Side:
    """The same model measured again: its repeats drawn again, each process some percent off."""
    chosen = draw.integers(len(side.variant.repeats), size=repeats)
    factors = slower * np.exp(draw.normal(0, 0.03, repeats))
    return _with(
        side,
        repeats=tuple(
            dataclasses.replace(
                one, latencies_us=tuple((factor * np.array(one.latencies_us)).tolist())
            )
            for one, factor in zip([side.variant.repeats[i] for i in chosen], factors, strict=True)
        ),
    )


def _images(side: Side, chosen: NDArray[np.int64], *, name: str) -> Side:
    """The same models on some of the images."""
    result = side.analysis.result

    def some(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(values[i] for i in chosen)

    variants = tuple(
        dataclasses.replace(
            one,
            predictions=some(one.predictions),
            scores=some(one.scores),
            true_label_scores=some(one.true_label_scores),
        )
        for one in side.analysis.variants
    )
    run = dataclasses.replace(side.analysis.run, variants=variants)
    result = dataclasses.replace(
        result, labels=some(result.labels), images_sha256=name, runs=(run,)
    )
    return _kind(Analysis(result, run), side.variant.precision)


def test_values_are_those_of_the_report(side: Side) -> None:
    """Each is what the analysis says, the calibration error to the last of its bins."""
    analysis, variant = side.analysis, side.variant
    baseline = analysis.baseline(variant)
    assert baseline is not None
    for metric, expected in {
        "accuracy": 100 * analysis.accuracy(variant).value,
        "agreement": 100 * analysis.agreement(variant).value,
        "log_loss": analysis.log_loss(variant),
        "calibration_error": 100 * analysis.calibration_error(variant),
        "throughput": analysis.max_batch_throughput(variant),
        "first_prediction": analysis.first_prediction_s(variant),
        "memory": analysis.peak_bytes(variant),
        "size": variant.size_bytes,
        "speedup": analysis.speedup(variant, baseline).value,
    }.items():
        assert value(metric, side) == pytest.approx(expected, rel=1e-9), metric
    assert value("latency_p50", side) == pytest.approx(analysis.latency_us(variant, 50), rel=0.02)
    assert value("speedup", Side(analysis, baseline)) is None


@settings(max_examples=15)
@given(slower=st.floats(0.5, 2), wrong=st.integers(0, 300), seed=st.integers(0, 999))
def test_exchanging_old_and_new_inverts_changes(
    side: Side, slower: float, wrong: int, seed: int
) -> None:
    """Exchanging old and new inverts every change and its interval."""
    draw = np.random.default_rng(seed)
    predictions = np.array(side.variant.predictions)
    predictions[draw.choice(len(predictions), wrong, replace=False)] = draw.integers(10, size=wrong)
    other = _noisy(_with(side, predictions=tuple(predictions.tolist())), draw, slower=slower)
    for metric in ("accuracy", "agreement", "log_loss", "calibration_error"):
        there, back = change(metric, side, other), change(metric, other, side)
        assert there.value == pytest.approx(-back.value)
        assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    for metric in (*LATENCIES, "speedup", "size"):
        there, back = change(metric, side, other), change(metric, other, side)
        assert (1 + there.value / 100) * (1 + back.value / 100) == pytest.approx(1)
        assert (1 + there.low / 100) * (1 + back.high / 100) == pytest.approx(1)


def test_noise_is_rarely_a_change(side: Side) -> None:
    """Of 200 pairs of runs that differ by noise alone, about 95 % show no change."""
    draw = np.random.default_rng(0)
    alarms = dict.fromkeys(LATENCIES, 0)
    for _ in range(200):
        pair = _noisy(side, draw), _noisy(side, draw)
        for metric in LATENCIES:
            alarms[metric] += change(metric, *pair).excludes(0)
    assert max(alarms.values()) < 0.08 * 200, alarms


@pytest.mark.parametrize("repeats", [3, 4, 5])
def test_noise_is_rarely_a_change_in_few_repeats(side: Side, repeats: int) -> None:
    """The same with as few as three repeats, for which the bootstrap is too narrow."""
    draw = np.random.default_rng(0)
    pairs = [[_noisy(side, draw, repeats=repeats) for _ in range(2)] for _ in range(200)]
    alarms = sum(change("latency_p50", *pair).excludes(0) for pair in pairs)
    assert alarms < 0.08 * 200


@settings(max_examples=30)
@given(seed=st.integers(0, 9999))
def test_a_slow_down_is_found(side: Side, seed: int) -> None:
    """30 % more latency is found beyond the noise, as more than 10 %."""
    draw = np.random.default_rng(seed)
    found = change("latency_p50", _noisy(side, draw), _noisy(side, draw, slower=1.3))
    assert found.excludes(0)
    assert found.value > 10


@pytest.mark.parametrize("metric", ["log_loss", "calibration_error"])
def test_an_exchange_of_images_is_rarely_a_change(side: Side, metric: str) -> None:
    """Two models that are float or int8 by chance for each image seldom seem different."""
    draw = np.random.default_rng(0)
    both = (side.variant, _kind(side.analysis, "float32").variant)
    fields = ("predictions", "scores", "true_label_scores")
    columns = {name: np.array([getattr(one, name) for one in both]) for name in fields}
    count, alarms = len(side.variant.predictions), 0
    for _ in range(100):
        heads = draw.integers(2, size=count)
        old, new = (
            _with(
                side,
                **{n: tuple(c[which, range(count)].tolist()) for n, c in columns.items()},
            )
            for which in (heads, 1 - heads)
        )
        alarms += change(metric, old, new).excludes(0)
    assert alarms <= 10


def test_other_images_are_another_sample(side: Side) -> None:
    """Halves of the images are compared as two samples, with wider intervals than matched ones.

    A change that is real for matched images need not be for two samples.
    """
    numbers = np.arange(len(side.variant.predictions))
    halves = [_images(side, numbers[start::2], name=str(start)) for start in (0, 1)]
    for metric in ("accuracy", "agreement", "log_loss", "calibration_error"):
        two = change(metric, *halves)
        first, second = (value(metric, half) or 0 for half in halves)
        assert two.value == pytest.approx(second - first)
        assert two.low < 0 < two.high
        matched = change(metric, halves[0], _images(side, numbers[0::2], name="0"))
        assert two.high - two.low > matched.high - matched.low


def test_newcombe(side: Side) -> None:
    """56 of 70 against 48 of 80 is the example of R. G. Newcombe's paper, method 10."""
    old, new = (
        _images(side, np.arange(total), name=str(total)) for total in (80, 70)
    )  # fmt: skip
    old, new = (
        _with(
            one,
            predictions=tuple(
                label if i < hits else (label + 1) % 10
                for i, label in enumerate(one.analysis.result.labels)
            ),
        )
        for one, hits in ((old, 48), (new, 56))
    )
    found = change("accuracy", old, new)
    assert (found.value, found.low, found.high) == pytest.approx((20, 5.24, 33.39), abs=0.005)


def test_too_few_samples(side: Side) -> None:
    """Two repeats, or one image, give an interval without bounds."""
    short = _with(side, repeats=side.variant.repeats[:2])
    assert change("latency_p50", side, short).low == -math.inf
    one = _images(side, np.array([0]), name="one")
    assert change("log_loss", one, one).low == -math.inf


def test_values_that_are_not_numbers(side: Side) -> None:
    """A figure that is missing or not a number has no value; one that is 0 has."""
    assert value("throughput", _with(side, throughputs=())) is None
    nan = (math.nan,) * len(side.variant.scores)
    assert value("log_loss", _with(side, true_label_scores=nan)) is None
    assert value("calibration_error", _with(side, scores=nan)) is None
    wrong = tuple((label + 1) % 10 for label in side.analysis.result.labels)
    assert value("accuracy", _with(side, predictions=wrong)) == 0
    assert set(METRICS) >= {"accuracy", *LATENCIES}
