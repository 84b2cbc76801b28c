"""The statistics of a run, against what NumPy computes from its samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_benchmarks.measure.session import with_macs
from fmx_benchmarks.statistics.analysis import Analysis

if TYPE_CHECKING:
    from fmx_runtime.bench.result import Result


def test_figures_are_those_of_the_samples(analysis: Analysis) -> None:
    """Accuracy, median latency, throughput and time to first prediction are NumPy's."""
    for variant in analysis.variants:
        hits = np.equal(variant.predictions, analysis.result.labels)
        assert analysis.accuracy(variant).value == hits.mean()
        calls = [us for one in variant.repeats for us in one.latencies_us]
        assert analysis.latency_us(variant, 50) == pytest.approx(np.median(calls))
        assert analysis.first_prediction_s(variant) == np.median(
            [one.first_prediction_s for one in variant.repeats]
        )
        throughputs = next(
            one.images_per_second
            for one in variant.throughputs
            if (one.batch, one.threads) == (64, 1)
        )
        assert analysis.max_batch_throughput(variant) == np.median(throughputs)
        assert analysis.confusion_matrix(variant).trace() == hits.sum()


def test_compute_against_the_peak(analysis: Analysis) -> None:
    """MACs per second are those of an image over its latency; the int8 peak is a multiple."""
    variant = analysis.variants[3]
    run = with_macs(analysis.run, {variant.sha256: 1_000_000})
    counted = Analysis(analysis.result, run)
    macs_per_s = counted.macs_per_s(run.variants[3])
    assert macs_per_s == pytest.approx(1e12 / analysis.latency_us(variant, 50))
    assert counted.macs_per_s(run.variants[2]) is None
    share, peak = counted.share_of_peak(run.variants[3]), run.machine.sgemm_gmacs
    assert share is not None
    assert peak is not None
    assert share == pytest.approx(macs_per_s / 1e9 / peak / run.machine.int8_factor)


def test_what_models_are_compared_with(analysis: Analysis, result: Result) -> None:
    """Predictions are compared with Keras, times with the float32 file of the same format."""
    keras, tflite, onnx, tflite_int8, onnx_int8 = result.runs[0].variants
    assert analysis.reference is keras
    assert analysis.baseline(keras) is None
    assert analysis.baseline(tflite_int8) is analysis.baseline(tflite) is tflite
    assert analysis.baseline(onnx_int8) is onnx
