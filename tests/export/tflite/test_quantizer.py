"""The int8 quantizer of TFLite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fmx_export.common.quantization_config import METHODS, QuantizationConfig
from fmx_export.common.quantizer import ANALYZED_IMAGES
from fmx_export.pipeline.read_graph import read_graph
from fmx_export.tflite import quantizer as quantizer_module
from fmx_export.tflite.calibrate import calibrate_tflite
from fmx_export.tflite.convert import export_tflite
from fmx_export.tflite.quantize import quantize_tflite
from fmx_export.tflite.quantizer import TFLiteQuantizer

if TYPE_CHECKING:
    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits


@pytest.fixture
def quantizer(source: SourceModel, few: Splits) -> TFLiteQuantizer:
    """The quantizer of the trained network, with 40 calibration images."""
    floats = export_tflite(source.model, spec=source.spec)
    return TFLiteQuantizer(source.model, floats, source.spec, few.train.images[:40])


def test_quantize_returns_the_model_of_its_steps(
    quantizer: TFLiteQuantizer, source: SourceModel, few: Splits
) -> None:
    """Calibration and quantization, done one by one, give the same file."""
    config = QuantizationConfig("percentile")
    floats = export_tflite(source.model, spec=source.spec)
    ranges = calibrate_tflite(
        floats, spec=source.spec, calibration=few.train.images[:40], config=config
    )
    assert quantizer.ranges(config) == ranges
    assert quantizer.quantize(config) == quantize_tflite(floats, ranges=ranges, config=config)


def test_each_method_is_calibrated_once(
    quantizer: TFLiteQuantizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Further configs with the same calibration method reuse its ranges."""
    calibrate, methods = quantizer_module.calibrate_tflite, []

    def counting(*arguments: Any, config: QuantizationConfig, **options: Any) -> Any:
        methods.append(config.calibration)
        return calibrate(*arguments, config=config, **options)

    monkeypatch.setattr(quantizer_module, "calibrate_tflite", counting)
    excluded = quantizer.layer_errors()[0].exclude
    for method in METHODS[:2]:
        plain = quantizer.quantize(QuantizationConfig(method))
        assert quantizer.quantize(QuantizationConfig(method, excluded)) != plain
    assert methods == ["min-max", "percentile"]


def test_layer_errors_name_layers_that_can_be_excluded(quantizer: TFLiteQuantizer) -> None:
    """A layer that the errors name computes in float once it is excluded."""
    error = next(error for error in quantizer.layer_errors() if error.operator == "CONV_2D")
    config = QuantizationConfig(excluded_layers=error.exclude)
    operators = {item.name: item for item in read_graph(quantizer.quantize(config)).operators}
    assert operators[error.layer].is_float


def test_layer_errors_are_measured_on_some_of_the_images(
    source: SourceModel, few: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All images calibrate, and the first `ANALYZED_IMAGES` of them are compared."""
    measure, counts = quantizer_module.tflite_layer_errors, []

    def counting(converter: Any, inputs: Any) -> Any:
        tensors = list(inputs)
        counts.append(len(tensors))
        return measure(converter, tensors)

    monkeypatch.setattr(quantizer_module, "tflite_layer_errors", counting)
    floats = export_tflite(source.model, spec=source.spec)
    images = few.train.images[: ANALYZED_IMAGES + 8]
    assert TFLiteQuantizer(source.model, floats, source.spec, images).layer_errors()
    assert counts == [ANALYZED_IMAGES]
