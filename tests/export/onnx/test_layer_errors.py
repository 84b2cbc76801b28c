"""Quantization errors of the layers of ONNX models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pytest

from fmx_export.common.layer_errors import EXACT_DB, sort_by_error
from fmx_export.common.quantization_config import QuantizationConfig
from fmx_export.onnx.calibrate import calibrate_onnx
from fmx_export.onnx.convert import export_onnx
from fmx_export.onnx.layer_errors import onnx_layer_errors
from fmx_export.onnx.quantize import prepare_onnx, quantize_onnx
from fmx_runtime.errors import ExportError
from fmx_runtime.images.preprocess import to_tensor

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from fmx_export.common.layer_errors import LayerError
    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits

WEIGHTED = {"Conv", "Gemm"}


def inputs_of(source: SourceModel, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Images as the network takes them, one by one."""
    return list(to_tensor(images[:, np.newaxis], source.spec))


def prepared(source: SourceModel) -> onnx.ModelProto:
    """The prepared float model."""
    return prepare_onnx(export_onnx(source.model, spec=source.spec))


def quantized(
    model: onnx.ModelProto,
    source: SourceModel,
    images: NDArray[np.uint8],
    excluded: tuple[str, ...] = (),
) -> onnx.ModelProto:
    """The model quantized with min-max calibration, without the excluded layers."""
    config = QuantizationConfig(excluded_layers=excluded)
    ranges = calibrate_onnx(model, spec=source.spec, calibration=images, config=config)
    return quantize_onnx(model, spec=source.spec, ranges=ranges, config=config, target="x86-64")


def accuracy(model: onnx.ModelProto, source: SourceModel, splits: Splits) -> float:
    """The accuracy on 2,000 validation images, as a fraction."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    images = inputs_of(source, splits.validation.images[:2000])
    predicted = [session.run(None, {"image": image})[0].argmax() for image in images]
    return float(np.mean(predicted == splits.validation.labels[:2000]))


@pytest.fixture(scope="session")
def float_model(badly_scaled: SourceModel) -> onnx.ModelProto:
    """The badly scaled network, prepared for quantization."""
    return prepared(badly_scaled)


@pytest.fixture(scope="session")
def int8_model(
    float_model: onnx.ModelProto, badly_scaled: SourceModel, few: Splits
) -> onnx.ModelProto:
    """The badly scaled network, quantized."""
    return quantized(float_model, badly_scaled, few.train.images[:200])


@pytest.fixture(scope="session")
def errors(
    float_model: onnx.ModelProto,
    int8_model: onnx.ModelProto,
    badly_scaled: SourceModel,
    few: Splits,
) -> tuple[LayerError, ...]:
    """The layer errors of the badly scaled network, on 40 images."""
    return onnx_layer_errors(
        float_model, int8_model, inputs_of(badly_scaled, few.train.images[:40])
    )


def test_badly_scaled_layer_is_the_worst(errors: tuple[LayerError, ...]) -> None:
    """The badly scaled layer has the largest error by far, and is excluded with its consumer."""
    worst, *others = sort_by_error(errors)
    assert "/wide" in worst.tensor
    assert worst.operator == "Conv"
    consumer = next(error for error in others if "/undone" in error.tensor)
    assert worst.exclude == (worst.layer, consumer.layer)
    assert worst.snr_db < 5
    assert min(error.snr_db for error in others) > worst.snr_db + 5


def test_excluding_the_worst_layer_restores_the_accuracy(
    float_model: onnx.ModelProto,
    errors: tuple[LayerError, ...],
    badly_scaled: SourceModel,
    splits: Splits,
    few: Splits,
) -> None:
    """int8 loses more than 5 points; without the worst layer it loses at most 0.5."""
    excluded = sort_by_error(errors)[0].exclude
    restored = quantized(float_model, badly_scaled, few.train.images[:200], excluded)
    float_accuracy = accuracy(float_model, badly_scaled, splits)
    assert float_accuracy > 0.7
    plain = quantized(float_model, badly_scaled, few.train.images[:200])
    assert float_accuracy - accuracy(plain, badly_scaled, splits) > 0.05
    assert float_accuracy - accuracy(restored, badly_scaled, splits) <= 0.005


def test_every_layer_with_weights_is_measured(case: SourceModel, sample: NDArray[np.uint8]) -> None:
    """Each convolution and dense layer is reported in graph order, with a plausible error.

    Values that a fused ReLU cuts off do not count as noise.
    """
    model = prepared(case)
    found = onnx_layer_errors(model, quantized(model, case, sample), inputs_of(case, sample[:20]))
    weighted = [error for error in found if error.operator in WEIGHTED]
    nodes = [node.name for node in model.graph.node]
    expected = [node.name for node in model.graph.node if node.op_type in WEIGHTED]
    assert [error.layer for error in weighted] == expected
    assert all(10 < error.snr_db < 60 for error in weighted)
    assert all(25 < (error.weight_snr_db or 0) < 60 for error in weighted)
    assert {name for error in found for name in error.exclude} <= set(nodes)


def test_data_movement_is_exact(errors: tuple[LayerError, ...]) -> None:
    """Reshape and Transpose have no error and no weights; all other layers have an error."""
    pass_through_ops = [error for error in errors if error.operator in {"Reshape", "Transpose"}]
    assert pass_through_ops
    assert {error.snr_db for error in pass_through_ops} == {EXACT_DB}
    assert {error.weight_snr_db for error in pass_through_ops} == {None}
    assert all(error.snr_db < EXACT_DB for error in errors if error not in pass_through_ops)


def test_no_images(float_model: onnx.ModelProto, int8_model: onnx.ModelProto) -> None:
    """Without images there is an error of one line."""
    with pytest.raises(ExportError, match=r"^cannot compare the layers .* no images[^\n]*$"):
        onnx_layer_errors(float_model, int8_model, [])


def test_models_of_different_networks(
    float_model: onnx.ModelProto, source: SourceModel, few: Splits
) -> None:
    """The int8 model of another network is an error of one line."""
    images = few.train.images[:10]
    other = quantized(prepared(source), source, images)
    with pytest.raises(ExportError, match=r"^cannot compare the layers [^\n]*$"):
        onnx_layer_errors(float_model, other, inputs_of(source, images))
