"""Comparing two results, on the samples of the reference report."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fmx_benchmarks.statistics.compare import compare
from fmx_benchmarks.statistics.metrics import METRICS
from fmx_runtime.bench.result import Failure, Result

if TYPE_CHECKING:
    from fmx_benchmarks.statistics.compare import Change, Comparison
    from fmx_runtime.bench.result import Variant

REFERENCE = Path(__file__).parents[3] / "benchmarks" / "reference" / "result.json"
INT8 = 3


@pytest.fixture(scope="module")
def reference() -> Result:
    """As it was measured: Keras, and the float and int8 files of both formats."""
    return Result.from_json(REFERENCE.read_text("utf-8"))


def _with(result: Result, **values: Any) -> Result:
    """The result, its only run changed."""
    (run,) = result.runs
    return dataclasses.replace(result, runs=(dataclasses.replace(run, **values),))


def _changed(result: Result, **values: Any) -> Result:
    """The result, its TFLite int8 file changed."""
    variants = list(result.runs[0].variants)
    variants[INT8] = dataclasses.replace(variants[INT8], **values)
    return _with(result, variants=tuple(variants))


def _slower(variant: Variant, factor: float) -> Any:
    return tuple(
        dataclasses.replace(one, latencies_us=tuple(factor * us for us in one.latencies_us))
        for one in variant.repeats
    )


def _of(comparison: Comparison, metric: str, model: str = "TFLite int8") -> Change:
    (found,) = (one for one in comparison.changes if (one.model, one.metric) == (model, metric))
    return found


@pytest.mark.timed
def test_equal_results_have_not_changed(reference: Result) -> None:
    """Nothing is significant, every metric is there, and nothing is unknown; in two seconds.

    The seconds are those of the processor, so that a busy machine is no failure.
    """
    compare(reference, reference)  # loads SciPy
    start = time.process_time()
    comparison = compare(reference, reference)
    assert time.process_time() - start < 2
    assert {one.metric for one in comparison.changes} == set(METRICS)
    assert all(one.change.value == 0 and not one.is_significant for one in comparison.changes)
    assert all(one.old == one.new for one in comparison.changes)
    assert not comparison.unknown + comparison.added + comparison.failures
    assert comparison.same_images
    assert comparison == compare(reference, reference)


def test_a_slower_model(reference: Result) -> None:
    """30 % more time is found in every percentile, and in the speed, and nowhere else."""
    variant = reference.runs[0].variants[INT8]
    comparison = compare(reference, _changed(reference, repeats=_slower(variant, 1.3)))
    for percent in (50, 90, 99):
        change = _of(comparison, f"latency_p{percent}")
        assert change.change.value == pytest.approx(30)
        assert change.new == pytest.approx(1.3 * change.old)
        assert change.is_significant
    assert _of(comparison, "speedup").change.value == pytest.approx(100 / 1.3 - 100)
    assert {(one.model, one.metric) for one in comparison.changes if one.is_significant} == {
        ("TFLite int8", metric)
        for metric in ("latency_p50", "latency_p90", "latency_p99", "speedup")
    }


def test_a_less_accurate_model(reference: Result) -> None:
    """57 images of 10,000 less are found with their interval; two images are within noise."""
    variant = reference.runs[0].variants[INT8]
    right = [i for i, label in enumerate(reference.labels) if variant.predictions[i] == label]
    predictions = list(variant.predictions)
    found = {}
    for count in (2, 57):
        for i in right[:count]:
            predictions[i] = (reference.labels[i] + 1) % 10
        found[count] = _of(
            compare(reference, _changed(reference, predictions=tuple(predictions))), "accuracy"
        )
    assert found[57].change.value == -0.57  # a limit of that is met, not broken
    assert found[57].change.low < -0.57 < found[57].change.high < 0
    assert not found[2].is_significant


def test_nothing_right_is_a_change(reference: Result) -> None:
    """A model that gets nothing right any more has an accuracy, of 0."""
    wrong = tuple((label + 1) % 10 for label in reference.labels)
    change = _of(compare(reference, _changed(reference, predictions=wrong)), "accuracy")
    assert change.new == 0
    assert change.is_significant


def test_names_may_change(reference: Result) -> None:
    """A file of another name is compared by its format and precision."""
    comparison = compare(reference, _changed(reference, name="better.int8.tflite"))
    assert _of(comparison, "size").change.value == 0
    assert not comparison.unknown + comparison.added


def test_several_files_of_one_kind(reference: Result) -> None:
    """They are told apart by their names, or else by their order."""
    (run,) = reference.runs
    for name in ("other.int8.tflite", run.variants[INT8].name):
        other = dataclasses.replace(run.variants[INT8], name=name)
        old = _with(reference, variants=(*run.variants, other))
        new = _changed(old, size_bytes=2 * other.size_bytes)
        sizes = {
            one.model: one.change.value
            for one in compare(old, new).changes
            if one.metric == "size" and one.model.startswith("TFLite int8")
        }
        first, second = sizes
        assert first == "TFLite int8 baseline.int8.tflite"
        assert second.endswith(("other.int8.tflite", "baseline.int8.tflite #2"))
        assert list(sizes.values()) == [100, 0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("processor", "Cortex-A76"),
        ("architecture", "aarch64"),
        ("cores", 1),
        ("board", "Raspberry Pi 5"),
        ("governor", "powersave"),
    ],
)
def test_other_machines_are_not_compared_in_time(
    reference: Result, name: str, value: object
) -> None:
    """Times of another machine are unknown, for a reason that names what differs."""
    machine = dataclasses.replace(reference.runs[0].machine, **{name: value})  # type: ignore[arg-type]
    comparison = compare(reference, _with(reference, machine=machine))
    (reason,) = {one.reason for one in comparison.unknown}
    assert reason.startswith(f"times are not compared: {name} ")
    assert reason.endswith(f", now {value}")
    assert {one.metric for one in comparison.unknown} == {
        metric for metric, what in METRICS.items() if what.is_timing
    }
    assert {one.metric for one in comparison.changes} == {
        metric for metric, what in METRICS.items() if not what.is_timing
    }


def test_other_settings_are_not_compared(reference: Result) -> None:
    """Processes that were not bound to a core, and other batches, mean something else."""
    settings = reference.runs[0].settings
    free = compare(
        reference, _with(reference, settings=dataclasses.replace(settings, core=None))
    ).unknown
    assert "bound to one core yes, now no" in free[0].reason
    alone = _with(reference, settings=dataclasses.replace(settings, batches=(1,)))
    batches = compare(alone, reference).unknown
    assert {one.metric for one in batches} == {"throughput"}
    largest = max(settings.batches)
    assert batches[0].reason == f"throughput is not compared: batches of 1, now of {largest}"


def test_devices_are_compared_by_name(reference: Result) -> None:
    """Each machine's models have its name; one that is not in the new result is missed."""
    (run,) = reference.runs
    pi = dataclasses.replace(run, device="pi", variants=run.variants[1:])
    both = dataclasses.replace(reference, runs=(run, pi))
    slow = _slower(run.variants[INT8], 1.3)
    forged = (*run.variants[1:INT8], dataclasses.replace(run.variants[INT8], repeats=slow))
    slower = dataclasses.replace(pi, variants=(*forged, run.variants[4]))
    comparison = compare(both, dataclasses.replace(reference, runs=(run, slower)))
    on_pi = _of(comparison, "latency_p50", "TFLite int8 on pi").change.value
    assert on_pi == pytest.approx(30)
    assert _of(comparison, "latency_p50").change.value == 0
    assert {one.model for one in compare(both, reference).unknown} == {
        f"{kind} on pi" for kind in ("TFLite float32", "ONNX float32", "TFLite int8", "ONNX int8")
    }


def test_models_that_come_and_go(reference: Result) -> None:
    """A model that is gone is named, so is a new one, and why one could not be measured."""
    variants = reference.runs[0].variants
    failure = Failure(name="baseline.int8.onnx", reason="it is damaged; export again")
    fewer = _with(reference, variants=variants[:4], failures=(failure,))
    comparison = compare(reference, fewer)
    assert {one.reason for one in comparison.unknown} == {"ONNX int8 is not in the new result"}
    assert comparison.failures == ("baseline.int8.onnx: it is damaged; export again",)
    assert compare(fewer, reference).added == ("ONNX int8",)
    assert not compare(fewer, fewer).failures


def test_figures_that_one_result_lacks(reference: Result) -> None:
    """A figure that only one of the results has is unknown, and so is its reason's result."""
    without = _changed(reference, throughputs=())
    (lost,) = compare(reference, without).unknown
    assert lost.reason == "the new result has no throughput of TFLite int8"
    (found,) = compare(without, reference).unknown
    assert found.reason == "the old result has no throughput of TFLite int8"


def test_another_reference_is_another_agreement(reference: Result) -> None:
    """Without the Keras model, agreement is with another model and is not compared."""
    without = _with(reference, variants=reference.runs[0].variants[1:])
    reasons = {one.reason for one in compare(reference, without).unknown}
    assert reasons == {
        "Keras float32 is not in the new result",
        "agreement is not compared: it was with Keras float32, now TFLite float32",
    }
