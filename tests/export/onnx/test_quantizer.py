"""The int8 quantizer of ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx
import pytest

from fmx_export.common.quantization_config import METHODS, QuantizationConfig
from fmx_export.onnx import quantizer as quantizer_module
from fmx_export.onnx.convert import export_onnx, serialize
from fmx_export.onnx.quantize import prepare_onnx
from fmx_export.onnx.quantizer import OnnxQuantizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits


@pytest.fixture
def quantizer(source: SourceModel, few: Splits) -> OnnxQuantizer:
    """The quantizer of the trained network, with 20 calibration images."""
    float_model = export_onnx(source.model, spec=source.spec)
    return OnnxQuantizer(float_model, source.spec, few.train.images[:20], "arm64")


def test_quantize_returns_the_model_of_its_steps(
    quantizer: OnnxQuantizer,
    source: SourceModel,
    few: Splits,
    quantize: Callable[..., onnx.ModelProto],
) -> None:
    """Preparation, calibration, quantization and uint8 input, done one by one, give the same."""
    config = QuantizationConfig("percentile")
    prepared = prepare_onnx(export_onnx(source.model, spec=source.spec))
    expected = quantize(prepared, source.spec, few.train.images[:20], config, "arm64")
    assert quantizer.quantize(config) == serialize(expected)


def test_each_method_is_calibrated_once(
    quantizer: OnnxQuantizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Further configs with the same calibration method reuse its ranges."""
    calibrate, methods = quantizer_module.calibrate_onnx, []

    def counting(*arguments: Any, config: QuantizationConfig, **options: Any) -> Any:
        methods.append(config.calibration)
        return calibrate(*arguments, config=config, **options)

    monkeypatch.setattr(quantizer_module, "calibrate_onnx", counting)
    excluded = quantizer.layer_errors()[0].exclude
    for method in METHODS[:2]:
        plain = quantizer.quantize(QuantizationConfig(method))
        assert quantizer.quantize(QuantizationConfig(method, excluded)) != plain
    assert methods == ["min-max", "percentile"]


def test_layer_errors_name_layers_that_can_be_excluded(quantizer: OnnxQuantizer) -> None:
    """A layer that the errors name computes in float once it is excluded."""
    error = next(error for error in quantizer.layer_errors() if error.operator == "Conv")
    config = QuantizationConfig(excluded_layers=error.exclude)
    model = onnx.ModelProto.FromString(quantizer.quantize(config))
    node = next(node for node in model.graph.node if node.name == error.layer)
    weights = next(item for item in model.graph.initializer if item.name == node.input[1])
    assert weights.data_type == onnx.TensorProto.FLOAT
