"""Regression limits."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmx_benchmarks.statistics import regression_limits
from fmx_benchmarks.statistics.compare import Change, Comparison, Unknown
from fmx_benchmarks.statistics.confidence_intervals import Estimate
from fmx_benchmarks.statistics.metrics import METRICS
from fmx_runtime.errors import DataError


def _change(
    metric: str, value: float, *, half: float = 0.0, model: str = "TFLite int8"
) -> Change:  # fmt: skip
    return Change(model, metric, 1, 1, Estimate(value, value - half, value + half))


def _of(*changes: Change, unknown: tuple[Unknown, ...] = ()) -> Comparison:
    return Comparison(changes, unknown, added=(), failures=(), same_images=True)


@pytest.mark.parametrize(
    ("text", "model", "metric", "side", "limit"),
    [
        ("latency_p50 > +10%", "", "latency_p50", ">", 10),
        ("  throughput<-5.5%  ", "", "throughput", "<", -5.5),
        ("accuracy < -0.2", "", "accuracy", "<", -0.2),
        ("log_loss > 0.01", "", "log_loss", ">", 0.01),
        ("TFLite int8: size > 0%", "TFLite int8", "size", ">", 0),
    ],
)
def test_limits(text: str, model: str, metric: str, side: str, limit: float) -> None:
    """A limit has a metric, a side, a number, and perhaps models."""
    read = regression_limits.parse(text)
    assert (read.model, read.metric, read.side, read.limit) == (model, metric, side, limit)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latency", "is not a limit; write for example 'latency_p50 > .* with one of accuracy, "),
        ("latency_p50 >= 10%", "is not a limit"),
        ("latency_p50 > ten", "is not a limit"),
        ("size\n> 1%\nx", "is not a limit"),
        ("", "is not a limit"),
        ("speed > 10%", "there is no metric 'speed'; choose accuracy, "),
        ("latency_p50 > 10", "is in percent, as in 'size > \\+5%'"),
        ("accuracy < -0.2%", "is in percentage points, without %, as in 'accuracy < -0.2'"),
        ("log_loss > 1%", "is in nats, without %, as in 'log_loss > \\+0.01'"),
    ],
)
def test_texts_that_are_not_limits(text: str, message: str) -> None:
    """What cannot be read is one line that names what can."""
    with pytest.raises(DataError, match=message) as caught:
        regression_limits.parse(text)
    assert "\n" not in str(caught.value)


def test_examples_are_limits() -> None:
    """What the messages tell people to write can be read."""
    for text in ("latency", "size > 1", "accuracy < 1%", "log_loss > 1%"):
        with pytest.raises(DataError) as caught:
            regression_limits.parse(text)
        shown = str(caught.value).split("'")[3::2]
        assert shown
        for example in shown:
            assert regression_limits.parse(example).metric in METRICS


@given(st.text() | st.from_regex(r"(\w+:)? ?\w+ [<>] [+-]?\d+\.?\d*%?", fullmatch=True))
def test_any_text_is_a_limit_or_an_error(text: str) -> None:
    """A wrong limit raises a `DataError` of one line and nothing else."""
    try:
        assert regression_limits.parse(text).metric in METRICS
    except DataError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 (that it is raised is no failure)


@pytest.mark.parametrize(
    ("words", "models"),
    [
        ("", ["TFLite float32", "TFLite int8", "ONNX int8", "TFLite int8 on pi"]),
        ("int8", ["TFLite int8", "ONNX int8", "TFLite int8 on pi"]),
        ("tflite INT8", ["TFLite int8", "TFLite int8 on pi"]),
        ("pi", ["TFLite int8 on pi"]),
        ("float32", ["TFLite float32"]),
        ("keras", ["Keras float32"]),
        ("int", []),
    ],
)
def test_words_choose_models(words: str, models: list[str]) -> None:
    """A limit is for the models with all of its words; the Keras model has to be named."""
    every = ["Keras float32", "TFLite float32", "TFLite int8", "ONNX int8", "TFLite int8 on pi"]
    limit = regression_limits.parse(f"{words}: size > 0%" if words else "size > 0%")
    assert [model for model in every if limit.applies_to(model)] == models


@given(
    metric=st.sampled_from(list(METRICS)),
    side=st.sampled_from("<>"),
    limit=st.integers(-100, 100),
    half=st.floats(0, 100),
)
def test_no_change_breaks_no_limit(metric: str, side: str, limit: int, half: float) -> None:
    """What has not changed breaks no limit, wherever it lies."""
    read = regression_limits.parse(
        f"{metric} {side} {limit}{'%' if METRICS[metric].unit == '%' else ''}"
    )
    comparison = _of(_change(metric, 0.0, half=half))
    verdict = regression_limits.judge(read, comparison)
    assert not verdict.violations
    assert not verdict.unjudged
    assert verdict.exit_code == 0


@pytest.mark.parametrize(
    ("value", "half", "fails"),
    [(30, 5, True), (30, 35, False), (10, 1, False), (9, 1, False), (-30, 5, False)],
)
def test_beyond_the_limit_and_beyond_noise(value: float, half: float, fails: bool) -> None:
    """A change breaks a limit that it is beyond, not one that it meets, and only if it is real."""
    change = _change("latency_p50", value, half=half)
    comparison = _of(change, _change("latency_p90", 99, half=1))
    verdict = regression_limits.judge(regression_limits.parse("latency_p50 > +10%"), comparison)
    assert verdict.violations == (change,) * fails
    assert verdict.exit_code == int(fails)


def test_what_cannot_be_judged_does_not_pass() -> None:
    """Each reason is given once, and only for limits of that model and metric."""
    gone = Unknown("ONNX int8", "size", "ONNX int8 is not in the new result")
    comparison = _of(
        _change("size", 0.0),
        _change("latency_p50", 0.0, half=math.inf),
        _change("throughput", 0.0, half=math.inf, model="Keras float32"),
        unknown=(gone, gone),
    )
    expected = {
        "size > 0%": ("ONNX int8 is not in the new result",),
        "tflite: size > 0%": (),
        "latency_p50 > 0%": ("TFLite int8 has too few repeats: measure more",),
        "keras: throughput < 0%": ("Keras float32 has too few repeats: measure more",),
        "throughput < 0%": ("no model file in both results has throughput",),
        "int4: size > 0%": ("no 'int4' in both results has size",),
    }
    for text, reasons in expected.items():
        verdict = regression_limits.judge(regression_limits.parse(text), comparison)
        assert verdict.unjudged == reasons
        assert not verdict.violations
        assert verdict.exit_code == (3 if reasons else 0)
