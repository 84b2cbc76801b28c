"""What changed between results, and limits for it."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmx_benchmarks import gate
from fmx_benchmarks.compare import METRICS, Change, Comparison, compare
from fmx_benchmarks.estimate import Estimate, median_of, ratio_of
from fmx_cli.compare import compare_files
from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_runtime.bench.record import Result


def _changed(result: Result, *, slower: float = 1.0, wrong: int = 0) -> Result:
    """The result with its TFLite int8 file slower, and wrong in so many pictures more."""
    (run,) = result.runs
    variant = run.variants[3]
    rounds = tuple(
        dataclasses.replace(one, calls_us=tuple(slower * us for us in one.calls_us))
        for one in variant.rounds
    )
    right = [i for i, answer in enumerate(variant.answers) if answer == result.labels[i]]
    answers = list(variant.answers)
    for index in right[:wrong]:
        answers[index] = (answers[index] + 1) % 10
    forged = dataclasses.replace(variant, rounds=rounds, answers=tuple(answers))
    variants = (*run.variants[:3], forged, *run.variants[4:])
    return dataclasses.replace(result, runs=(dataclasses.replace(run, variants=variants),))


def _of(comparison: Comparison, metric: str) -> Change:
    (found,) = (
        one for one in comparison.changes if (one.model, one.metric) == ("TFLite int8", metric)
    )
    return found


def test_equal_results_have_not_changed(result: Result) -> None:
    """Nothing is beyond noise, every metric is there, and no limit is broken."""
    comparison = compare(result, result)
    assert {one.metric for one in comparison.changes} == set(METRICS)
    assert all(one.change.value == 0 and not one.is_real for one in comparison.changes)
    assert not comparison.gone + comparison.added + comparison.incomparable
    for metric, what in METRICS.items():
        limit = gate.parse(f"{metric} > -50{'%' if what.unit == '%' else ''}")
        assert not gate.failing(limit, comparison)


def test_a_slower_model_fails(result: Result) -> None:
    """30 % more time is found, and breaks a limit of 10 % but not one of 50 %."""
    comparison = compare(result, _changed(result, slower=1.3))
    change = _of(comparison, "latency_p50")
    assert change.change.value == pytest.approx(30, abs=0.1)
    assert _of(comparison, "speedup").change.value == pytest.approx(100 / 1.3 - 100, abs=0.1)
    for text, fails in (("> +10%", change.is_real), ("> +50%", False), ("< 0%", False)):
        assert bool(gate.failing(gate.parse(f"latency_p50 {text}"), comparison)) == fails


def test_a_less_accurate_model_fails(result: Result) -> None:
    """20 of 300 pictures less are found with their interval; one picture is within noise."""
    worse = compare(result, _changed(result, wrong=20))
    change = _of(worse, "accuracy")
    assert change.change.value == pytest.approx(-100 * 20 / 300)
    assert change.change.low < change.change.value < change.change.high < 0
    limit = gate.parse("accuracy < -0.2")
    assert gate.failing(limit, worse) == (change,)
    assert not gate.failing(limit, compare(result, _changed(result, wrong=1)))
    assert not gate.failing(gate.parse("onnx int8: accuracy < -0.2"), worse)


def test_directions_turn(result: Result) -> None:
    """Exchanging old and new turns the sign of every change of answers, and times' ratios."""
    other = _changed(result, slower=1.3, wrong=9)
    there, back = compare(result, other), compare(other, result)
    for metric in ("accuracy", "agreement", "calibration_error"):
        ours, theirs = _of(there, metric).change, _of(back, metric).change
        assert ours.value == pytest.approx(-theirs.value)
        assert (ours.low, ours.high) == pytest.approx((-theirs.high, -theirs.low))
    ratios = [1 + _of(one, "latency_p50").change.value / 100 for one in (there, back)]
    assert ratios[0] * ratios[1] == pytest.approx(1)


def test_other_machines_are_not_compared_in_time(result: Result) -> None:
    """Times of another processor are left out, and a limit on them cannot be judged."""
    (run,) = result.runs
    elsewhere = dataclasses.replace(run.machine, processor="Cortex-A76")
    other = dataclasses.replace(result, runs=(dataclasses.replace(run, machine=elsewhere),))
    comparison = compare(result, other)
    assert "processor" in comparison.incomparable[0]
    assert {one.metric for one in comparison.changes} == {
        metric for metric, what in METRICS.items() if not what.timed
    }
    assert gate.unjudged(gate.parse("latency_p50 > +10%"), comparison)
    assert gate.unjudged(gate.parse("accuracy < -1"), comparison) is None


def test_models_that_come_and_go(result: Result) -> None:
    """A model that is gone is named, and a limit that was for it cannot be judged."""
    (run,) = result.runs
    fewer = dataclasses.replace(result, runs=(dataclasses.replace(run, variants=run.variants[:3]),))
    comparison = compare(result, fewer)
    assert comparison.gone == ("TFLite int8", "ONNX int8")
    assert compare(fewer, result).added == comparison.gone
    assert gate.unjudged(gate.parse("int8: size > 0%"), comparison)
    assert gate.unjudged(gate.parse("float32: size > 0%"), comparison) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latency", "is no limit; write for example"),
        ("latency_p50 >= 10%", "is no limit"),
        ("speed > 10%", "there is no 'speed'; choose accuracy, "),
        ("latency_p50 > 10", "is in percent, as in"),
        ("accuracy < -0.2%", "is in points, as in"),
    ],
)
def test_limits_that_are_none(text: str, message: str) -> None:
    """What cannot be read is named with what can."""
    with pytest.raises(DataError, match=message):
        gate.parse(text)


@given(st.text())
def test_any_text_is_a_limit_or_an_error(text: str) -> None:
    """Nothing but a DataError comes of a wrong limit."""
    with contextlib.suppress(DataError):
        assert gate.parse(text).metric in METRICS


def test_noise_rarely_fails() -> None:
    """Of 300 pairs of runs that differ by noise alone, few are called changed."""
    draw = np.random.default_rng(0)
    alarms = sum(
        ratio_of(draw.normal(20, 0.6, 20).tolist(), draw.normal(20, 0.6, 20).tolist()).is_beyond(1)
        for _ in range(300)
    )
    assert alarms < 0.09 * 300
    found = sum(
        ratio_of(draw.normal(26, 0.8, 20).tolist(), draw.normal(20, 0.6, 20).tolist()).is_beyond(
            1.1
        )
        for _ in range(50)
    )
    assert found == 50


def test_few_rounds_tell_nothing() -> None:
    """Of one or two rounds no change is known to be real."""
    assert not ratio_of([10, 10], [1, 1]).is_beyond(1)
    assert median_of([2.0]) == Estimate(2.0, float("-inf"), float("inf"))
    assert median_of([2.0] * 3) == Estimate(2.0, 2.0, 2.0)


@given(st.lists(st.floats(1, 1e6), min_size=3, max_size=12))
def test_an_interval_holds_its_median(values: list[float]) -> None:
    """The median lies in its interval, and the interval within the values."""
    found = median_of(values)
    assert found.low <= found.value * (1 + 1e-12)
    assert found.value <= found.high * (1 + 1e-12)
    assert min(values) <= found.low * (1 + 1e-12)
    assert found.high <= max(values) * (1 + 1e-12)


def test_the_command(result: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit codes: none for a limit that holds, 1 for a broken one, 3 for one not judged."""
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(result.to_json(), "utf-8")
    new.write_text(_changed(result, wrong=20).to_json(), "utf-8")
    compare_files(old, new, ["size > 0%"])
    assert "TFLite int8" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        compare_files(old, new, ["size > 0%", "accuracy < -0.2"])
    assert ended.value.code == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "passed: 'size > 0%'" in said
    assert "failed: 'accuracy < -0.2': TFLite int8" in said
    with pytest.raises(SystemExit) as ended:
        compare_files(old, new, ["keras int8: size > 0%"])
    assert ended.value.code == 3


def test_what_is_no_result(result: Result, tmp_path: Path) -> None:
    """A missing file, rubbish, and a result of another schema are one line that names the file."""
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(result.to_json(), "utf-8")
    with pytest.raises(DataError, match=r"bad\.json' cannot be read"):
        compare_files(good, bad, [])
    for text, message in (
        ("rubbish", "is no JSON"),
        ('{"schema": 1}', "has schema 1, this version of fmx reads 2: measure again"),
        ('{"schema": 2}', "lacks 'data'"),
    ):
        bad.write_text(text, "utf-8")
        with pytest.raises(DataError, match=message) as caught:
            compare_files(good, bad, [])
        assert "\n" not in str(caught.value)
