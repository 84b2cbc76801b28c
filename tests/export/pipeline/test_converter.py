"""Conversion of one source model to all formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fmx_export.common.quantization_config import QuantizationConfig
from fmx_export.onnx.convert import export_onnx, serialize
from fmx_export.pipeline import converter as converter_module
from fmx_export.pipeline.converter import Converter
from fmx_export.pipeline.formats import FLOAT32, INT8, Format
from fmx_export.tflite.convert import export_tflite
from fmx_runtime.backends.base import detect_format

if TYPE_CHECKING:
    from fmx_export.common.calibration import CalibrationSet
    from fmx_export.source.source_model import SourceModel


@pytest.fixture
def converter(source: SourceModel, calibration: CalibrationSet) -> Converter:
    """The converter of the trained model, with 20 calibration images."""
    return Converter(source, calibration.images[:20], "x86-64")


def test_float32_models(converter: Converter, source: SourceModel) -> None:
    """The float32 models are those of the two converters."""
    tflite, onnx = (converter.convert(file_format) for file_format in FLOAT32)
    assert tflite == export_tflite(source.model, spec=source.spec)
    assert onnx == serialize(export_onnx(source.model, spec=source.spec))


def test_formats_are_of_their_kind_and_differ(converter: Converter) -> None:
    """Each format other than int8 gives another model, in its own container."""
    formats = [file_format for file_format in Format if file_format not in INT8]
    models = {file_format: converter.convert(file_format) for file_format in formats}
    assert len(set(models.values())) == len(formats) == 6
    assert {each: detect_format(model) for each, model in models.items()} == {
        each: each.model_format for each in formats
    }
    float32, float16 = models[Format.ONNX_FLOAT32], models[Format.ONNX_FLOAT16]
    assert len(float16) < 0.6 * len(float32)
    assert len(models[Format.TFLITE_DYNAMIC]) < 0.4 * len(models[Format.TFLITE_FLOAT32])


@pytest.mark.parametrize("file_format", INT8)
def test_int8_models_come_from_a_quantizer(file_format: Format, converter: Converter) -> None:
    """Each model format has one quantizer; int8 without a quantization config is an error."""
    quantizer = converter.quantizer(file_format)
    assert converter.quantizer(file_format) is quantizer
    model = quantizer.quantize(QuantizationConfig())
    assert detect_format(model) == file_format.model_format
    with pytest.raises(ValueError, match="is converted by its quantizer"):
        converter.convert(file_format)


def test_float_models_are_converted_once(
    converter: Converter, source: SourceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All TFLite formats share one float32 conversion."""
    conversions = []

    def counting(*arguments: object, **options: object) -> bytes:
        conversions.append(options)
        return export_tflite(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(converter_module, "export_tflite", counting)
    for file_format in Format:
        if file_format.model_format == "tflite" and file_format not in INT8:
            converter.convert(file_format)
    converter.quantizer(Format.TFLITE_INT8).quantize(QuantizationConfig())
    assert conversions == [{"spec": source.spec}]
