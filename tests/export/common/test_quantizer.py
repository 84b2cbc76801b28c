"""The interface of the int8 quantizers: both formats behave the same way behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fmx_export.common.quantization_config import QuantizationConfig
from fmx_export.common.quantizer import ANALYZED_IMAGES
from fmx_export.onnx.convert import export_onnx
from fmx_export.onnx.quantizer import OnnxQuantizer
from fmx_export.pipeline.read_graph import read_graph
from fmx_export.tflite.convert import export_tflite
from fmx_export.tflite.quantizer import TFLiteQuantizer

if TYPE_CHECKING:
    from fmx_export.common.quantizer import Quantizer
    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits

WEIGHTED = {"CONV_2D", "FULLY_CONNECTED", "Conv", "Gemm"}


@pytest.fixture(scope="module", params=["tflite", "onnx"])
def quantizer(request: pytest.FixtureRequest, source: SourceModel, few: Splits) -> Quantizer:
    """The quantizer of each format, with the trained network."""
    images = few.train.images[: ANALYZED_IMAGES + 8]
    if request.param == "tflite":
        float_model = export_tflite(source.model, spec=source.spec)
        return TFLiteQuantizer(source.model, float_model, source.spec, images)
    float_model = export_onnx(source.model, spec=source.spec)
    return OnnxQuantizer(float_model, source.spec, images, "arm64")


def test_a_network_is_quantized(quantizer: Quantizer) -> None:
    """All weights become int8, and the input takes an image's bytes."""
    graph = read_graph(quantizer.quantize(QuantizationConfig()))
    assert {item.weights.dtype for item in graph.operators if item.weights} == {"int8"}
    assert [tensor.dtype for tensor in graph.inputs] == ["uint8"]


def test_equal_configs_give_equal_bytes(quantizer: Quantizer) -> None:
    """A config gives the same file whatever was quantized before it, and another one another."""
    first = quantizer.quantize(QuantizationConfig())
    other = quantizer.quantize(QuantizationConfig("percentile"))
    assert first != other
    assert quantizer.quantize(QuantizationConfig()) == first


def test_layers_can_be_excluded_by_the_names_of_their_errors(quantizer: Quantizer) -> None:
    """The layers that a `LayerError` lists keep float weights, and the others become int8."""
    errors = [error for error in quantizer.layer_errors() if error.operator in WEIGHTED]
    config = QuantizationConfig(excluded_layers=(errors[1].layer,))
    weights = [
        item.weights.dtype
        for item in read_graph(quantizer.quantize(config)).operators
        if item.weights
    ]
    assert weights == ["int8", "float32", "int8", "int8"]
