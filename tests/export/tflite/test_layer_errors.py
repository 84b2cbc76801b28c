"""Layer errors of int8 TFLite models, measured on real networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from fmx_export.common.layer_errors import sort_by_error
from fmx_export.common.quantization_config import QuantizationConfig
from fmx_export.onnx.calibrate import calibrate_onnx
from fmx_export.onnx.convert import export_onnx
from fmx_export.onnx.layer_errors import onnx_layer_errors
from fmx_export.onnx.quantize import prepare_onnx, quantize_onnx
from fmx_export.tflite.calibrate import calibrate_tflite
from fmx_export.tflite.convert import export_tflite, quantizing_converter
from fmx_export.tflite.layer_errors import tflite_layer_errors
from fmx_export.tflite.quantize import quantize_tflite
from fmx_runtime.errors import ExportError
from fmx_runtime.images.preprocess import to_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmx_export.common.layer_errors import LayerError
    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits

WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}


def inputs_of(source: SourceModel, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Return the preprocessed images, one tensor for each."""
    return list(to_tensor(images[:, np.newaxis], source.spec))


def measured(source: SourceModel, sample: NDArray[np.uint8], count: int) -> tuple[LayerError, ...]:
    """Measure on the first ``count`` images, calibrated with the whole sample."""
    converter = quantizing_converter(source.model, source.spec, sample)
    return tflite_layer_errors(converter, inputs_of(source, sample[:count]))


def quantized(
    source: SourceModel, images: NDArray[np.uint8], excluded: tuple[str, ...] = ()
) -> bytes:
    """Quantize with min-max calibration, without the excluded layers."""
    config = QuantizationConfig(excluded_layers=excluded)
    content = export_tflite(source.model, spec=source.spec)
    ranges = calibrate_tflite(content, spec=source.spec, calibration=images, config=config)
    return quantize_tflite(content, ranges=ranges, config=config)


def accuracy(content: bytes, splits: Splits) -> float:
    """Return an int8 model's accuracy on 2,000 validation images."""
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    entry, end = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    predictions = []
    for image in splits.validation.images[:2000]:
        interpreter.set_tensor(entry["index"], image[np.newaxis])
        interpreter.invoke()
        predictions.append(interpreter.get_tensor(end["index"]).argmax())
    return float(np.mean(predictions == splits.validation.labels[:2000]))


@pytest.fixture(scope="session")
def errors(badly_scaled: SourceModel, few: Splits) -> tuple[LayerError, ...]:
    """Layer errors of the badly scaled network, on 40 images."""
    return measured(badly_scaled, few.train.images[:200], 40)


def test_the_badly_scaled_layer_has_the_largest_error(errors: tuple[LayerError, ...]) -> None:
    """The layer with channels of different scales comes first by far, with its consumer."""
    worst, *others = sort_by_error(errors)
    assert "/wide" in worst.tensor
    assert worst.operator == "CONV_2D"
    consumer = next(error for error in others if "/undone" in error.tensor)
    assert worst.exclude == (worst.layer, consumer.layer)
    assert worst.snr_db < 5
    assert min(error.snr_db for error in others) > worst.snr_db + 5


def test_excluding_the_worst_layer_restores_the_accuracy(
    errors: tuple[LayerError, ...], badly_scaled: SourceModel, splits: Splits, few: Splits
) -> None:
    """int8 loses more than 5 points; without the worst layer it loses at most 0.5."""
    inputs = to_tensor(splits.validation.images[:2000], badly_scaled.spec)
    predictions = badly_scaled.model.predict(inputs, batch_size=256, verbose=0).argmax(axis=1)
    keras_accuracy = float(np.mean(predictions == splits.validation.labels[:2000]))
    images = few.train.images[:200]
    without_worst = quantized(badly_scaled, images, sort_by_error(errors)[0].exclude)
    assert keras_accuracy > 0.7
    assert keras_accuracy - accuracy(quantized(badly_scaled, images), splits) > 0.05
    assert keras_accuracy - accuracy(without_worst, splits) <= 0.005


def test_every_layer_with_weights_is_measured(case: SourceModel, sample: NDArray[np.uint8]) -> None:
    """Layers have their names in the float file, and good layers have moderate errors."""
    found = measured(case, sample, 20)
    interpreter = Interpreter(model_content=export_tflite(case.model, spec=case.spec))
    names = {detail["name"] for detail in interpreter.get_tensor_details()}
    layers = [error.layer for error in found]
    assert len(set(layers)) == len(layers)
    assert {name for error in found for name in error.exclude} <= names
    weighted = [error for error in found if error.operator in WEIGHTED]
    kernels = [weights for weights in case.model.get_weights() if weights.ndim > 1]
    assert len(weighted) == len(kernels)
    assert all(10 < error.snr_db < 60 for error in weighted)


def test_both_formats_agree(
    errors: tuple[LayerError, ...], badly_scaled: SourceModel, few: Splits
) -> None:
    """TensorFlow's debugger and onnxruntime, which share no code, agree within 1.5 dB."""
    source, images, config = badly_scaled, few.train.images[:200], QuantizationConfig()
    model = prepare_onnx(export_onnx(source.model, spec=source.spec))
    ranges = calibrate_onnx(model, spec=source.spec, calibration=images, config=config)
    integers = quantize_onnx(model, spec=source.spec, ranges=ranges, config=config, target="arm64")
    others = onnx_layer_errors(model, integers, inputs_of(source, images[:40]))
    by_name = {error.tensor.removesuffix(":0"): error.snr_db for error in others}
    convolutions = {
        error.tensor.split(";")[0]: error.snr_db for error in errors if "CONV" in error.operator
    }
    assert len(convolutions) == 4
    assert {name: by_name[name] for name in convolutions} == pytest.approx(convolutions, abs=1.5)


def test_missing_images_are_an_error(badly_scaled: SourceModel, few: Splits) -> None:
    """Without images to compare on, the error says so in one line."""
    with pytest.raises(ExportError, match=r"^cannot compare the layers .*: no images$"):
        measured(badly_scaled, few.train.images[:10], 0)
