"""Layer errors of ONNX models, of real networks as they are quantized."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pytest

from fmx_export.common.layer_errors import EXACT_DB, sort_by_error
from fmx_export.common.quantization_config import Plan
from fmx_export.onnx.convert import export_onnx
from fmx_export.onnx.layer_errors import onnx_layer_errors
from fmx_export.onnx.quantize import calibrate_onnx, prepare_onnx, quantize_onnx
from fmx_runtime.errors import ExportError
from fmx_runtime.images.preprocess import to_tensor

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from fmx_export.common.layer_errors import LayerError
    from fmx_export.pipeline.export import Source
    from fmx_training.data.dataset import Splits

WEIGHTED = {"Conv", "Gemm"}


def inputs_of(source: Source, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """The images as the network takes them, one by one."""
    return list(to_tensor(images[:, np.newaxis], source.spec))


def prepared(source: Source) -> onnx.ModelProto:
    """The float model that is quantized."""
    return prepare_onnx(export_onnx(source.model, spec=source.spec))


def quantized(
    model: onnx.ModelProto,
    source: Source,
    images: NDArray[np.uint8],
    excluded: tuple[str, ...] = (),
) -> onnx.ModelProto:
    """The model quantized with min-max ranges, but for the layers that are to stay in float."""
    plan = Plan(excluded_layers=excluded)
    ranges = calibrate_onnx(model, spec=source.spec, calibration=images, plan=plan)
    return quantize_onnx(model, spec=source.spec, ranges=ranges, plan=plan, target="x86-64")


def accuracy(model: onnx.ModelProto, source: Source, splits: Splits) -> float:
    """The fraction of 2,000 held-out images that the model is right about."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    images = inputs_of(source, splits.validation.images[:2000])
    answers = [session.run(None, {"image": image})[0].argmax() for image in images]
    return float(np.mean(answers == splits.validation.labels[:2000]))


@pytest.fixture(scope="session")
def floats(badly_scaled: Source) -> onnx.ModelProto:
    """The badly scaled network, ready to be quantized."""
    return prepared(badly_scaled)


@pytest.fixture(scope="session")
def integers(floats: onnx.ModelProto, badly_scaled: Source, few: Splits) -> onnx.ModelProto:
    """The badly scaled network, quantized."""
    return quantized(floats, badly_scaled, few.train.images[:200])


@pytest.fixture(scope="session")
def errors(
    floats: onnx.ModelProto, integers: onnx.ModelProto, badly_scaled: Source, few: Splits
) -> tuple[LayerError, ...]:
    """What the badly scaled network's layers lose, on 40 images."""
    return onnx_layer_errors(floats, integers, inputs_of(badly_scaled, few.train.images[:40]))


def test_the_guilty_layer_is_the_worst(errors: tuple[LayerError, ...]) -> None:
    """The layer whose channels were scaled apart comes first by far, with the one that reads it."""
    worst, *others = sort_by_error(errors)
    assert "/wide" in worst.tensor
    assert worst.operator == "Conv"
    reader = next(error for error in others if "/undone" in error.tensor)
    assert worst.keep_in_float == (worst.layer, reader.layer)
    assert worst.snr_db < 5
    assert min(error.snr_db for error in others) > worst.snr_db + 5


def test_the_ranking_restores_the_accuracy(
    floats: onnx.ModelProto,
    errors: tuple[LayerError, ...],
    badly_scaled: Source,
    splits: Splits,
    few: Splits,
) -> None:
    """int8 loses more than 5 points, and all but 0.5 come back with the worst layer in float."""
    excluded = sort_by_error(errors)[0].keep_in_float
    mended = quantized(floats, badly_scaled, few.train.images[:200], excluded)
    right = accuracy(floats, badly_scaled, splits)
    assert right > 0.7
    plain = quantized(floats, badly_scaled, few.train.images[:200])
    assert right - accuracy(plain, badly_scaled, splits) > 0.05
    assert right - accuracy(mended, badly_scaled, splits) <= 0.005


def test_every_layer_with_weights(case: Source, sample: NDArray[np.uint8]) -> None:
    """Each convolution and dense layer is told of in its order, and no healthy one seems ill.

    What is negative before a ReLU must not pass for noise, though the int8 graph drops the ReLU.
    """
    model = prepared(case)
    found = onnx_layer_errors(model, quantized(model, case, sample), inputs_of(case, sample[:20]))
    weighted = [error for error in found if error.operator in WEIGHTED]
    nodes = [node.name for node in model.graph.node]
    expected = [node.name for node in model.graph.node if node.op_type in WEIGHTED]
    assert [error.layer for error in weighted] == expected
    assert all(10 < error.snr_db < 60 for error in weighted)
    assert all(25 < (error.weight_snr_db or 0) < 60 for error in weighted)
    assert {name for error in found for name in error.keep_in_float} <= set(nodes)


def test_what_only_moves_numbers_is_exact(errors: tuple[LayerError, ...]) -> None:
    """Reshaping and transposing lose nothing, and have no weights; all else loses something."""
    pass_through_ops = [error for error in errors if error.operator in {"Reshape", "Transpose"}]
    assert pass_through_ops
    assert {error.snr_db for error in pass_through_ops} == {EXACT_DB}
    assert {error.weight_snr_db for error in pass_through_ops} == {None}
    assert all(error.snr_db < EXACT_DB for error in errors if error not in pass_through_ops)


def test_no_images(floats: onnx.ModelProto, integers: onnx.ModelProto) -> None:
    """Without images it says so in one line."""
    with pytest.raises(ExportError, match=r"^cannot compare the layers .* no images[^\n]*$"):
        onnx_layer_errors(floats, integers, [])


def test_models_that_do_not_belong_together(
    floats: onnx.ModelProto, source: Source, few: Splits
) -> None:
    """Another network's int8 model is refused in one line."""
    images = few.train.images[:10]
    other = quantized(prepared(source), source, images)
    with pytest.raises(ExportError, match=r"^cannot compare the layers [^\n]*$"):
        onnx_layer_errors(floats, other, inputs_of(source, images))
