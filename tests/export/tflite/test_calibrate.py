"""Calibration ranges of float TFLite files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fmx_export.common.quantization_config import METHODS, QuantizationConfig
from fmx_export.pipeline.read_graph import read_graph
from fmx_export.tflite.calibrate import calibrate_tflite
from fmx_export.tflite.convert import export_tflite
from fmx_export.tflite.quantize import quantize_tflite
from fmx_runtime.errors import ExportError
from fmx_runtime.images.preprocess import to_tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits

    Run = Callable[[bytes, NDArray[Any]], NDArray[np.float32]]


def error(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the error as a fraction of the outputs' standard deviation between images."""
    return float(np.abs(found - expected).mean() / expected.std(axis=0).mean())


def test_output_range_is_that_of_keras(
    case: SourceModel,
    tflite_floats: bytes,
    images: NDArray[np.uint8],
    expected: NDArray[np.float32],
) -> None:
    """The range of the last tensor goes from Keras' smallest output, or zero, to its largest."""
    ranges = calibrate_tflite(
        tflite_floats, spec=case.spec, calibration=images, config=QuantizationConfig()
    )
    low, high = ranges[read_graph(tflite_floats).outputs[0].name]
    assert low == pytest.approx(min(0, expected.min()), abs=1e-4)
    assert high == pytest.approx(max(0, expected.max()), abs=1e-4)


def test_activations_have_ranges_and_weights_have_none(
    case: SourceModel, tflite_floats: bytes, sample: NDArray[np.uint8]
) -> None:
    """Every operator's output and the input have a range; with one, weights would be per tensor."""
    ranges = calibrate_tflite(
        tflite_floats, spec=case.spec, calibration=sample[:3], config=QuantizationConfig()
    )
    graph = read_graph(tflite_floats)
    outputs = {item.output.name for item in graph.operators}
    assert set(ranges) == outputs | {graph.inputs[0].name}
    weights = {item.weights.name for item in graph.operators if item.weights}
    assert weights
    assert not weights & set(ranges)


def test_input_range_is_that_of_the_spec(
    case: SourceModel, tflite_floats: bytes, sample: NDArray[np.uint8]
) -> None:
    """Dark calibration images change the ranges of activations, but not that of the input."""
    bright, dark = (
        calibrate_tflite(
            tflite_floats, spec=case.spec, calibration=images, config=QuantizationConfig()
        )
        for images in (sample[:20], sample[:20] // 4)
    )
    name = read_graph(tflite_floats).inputs[0].name
    assert (
        dark[name] == bright[name] == (case.spec.offset, 255 * case.spec.scale + case.spec.offset)
    )
    assert dark != bright
    models = [
        quantize_tflite(tflite_floats, ranges=ranges, config=QuantizationConfig())
        for ranges in (bright, dark)
    ]
    assert read_graph(models[0]).inputs == read_graph(models[1]).inputs


def test_methods_clip_more_and_more(
    source: SourceModel,
    few: Splits,
    run_tflite: Run,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:
    """Percentile ranges are narrower than min-max ranges, and entropy ranges are the narrowest.

    All methods have ranges for the same tensors; that of the input is always the spec's. The
    outputs are close to Keras', and nothing is printed or warned of.
    """
    images = few.test.images[:200]
    expected = source.model.predict(to_tensor(images, source.spec), verbose=0)
    floats = export_tflite(source.model, spec=source.spec)
    capfd.readouterr()
    recwarn.clear()
    found = []
    for method in METHODS:
        config = QuantizationConfig(method)
        ranges = calibrate_tflite(
            floats, spec=source.spec, calibration=few.train.images[:20], config=config
        )
        content = quantize_tflite(floats, ranges=ranges, config=config)
        assert error(run_tflite(content, images), expected) < 0.1
        found.append(ranges)
    assert capfd.readouterr().out == ""
    assert not recwarn.list
    widths = [sum(high - low for low, high in x.values()) for x in found]
    assert widths[0] > widths[1] > widths[2]
    assert found[0].keys() == found[1].keys() == found[2].keys()
    image = read_graph(floats).inputs[0].name
    assert {ranges[image] for ranges in found} == {(0, 1)}


def test_a_model_that_cannot_run_is_one_line(source: SourceModel, few: Splits) -> None:
    """Images of another size than the model's input give one line with the reason."""
    floats = export_tflite(source.model, spec=source.spec)
    images = few.train.images[:2, :20]
    with pytest.raises(ExportError, match=r"^cannot calibrate TFLite: [^\n]+$"):
        calibrate_tflite(floats, spec=source.spec, calibration=images, config=QuantizationConfig())
