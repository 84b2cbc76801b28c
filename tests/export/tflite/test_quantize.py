"""Quantized TFLite files, run in the real interpreter."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils

from fmx_export.common.quantization_config import QuantizationConfig
from fmx_export.pipeline.metadata_writer import write_metadata
from fmx_export.pipeline.read_graph import read_graph
from fmx_export.tflite.calibrate import calibrate_tflite
from fmx_export.tflite.convert import export_tflite
from fmx_export.tflite.quantize import (
    quantize_tflite,
    to_dynamic_range,
    to_float16,
    to_int16x8,
)
from fmx_runtime.errors import ExportError
from fmx_runtime.images.preprocess import to_tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from fmx_export.common.calibration_ranges import Ranges
    from fmx_export.common.graph import Operator
    from fmx_export.source.source_model import SourceModel
    from fmx_runtime.model_file.metadata import ModelMetadata
    from fmx_training.data.dataset import Splits

    Run = Callable[[bytes, NDArray[Any]], NDArray[np.float32]]

CHANNELS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
"""The axis of the output channels in an operator's weights."""


def layers(content: bytes) -> list[Operator]:
    """Return the operators that are not mere conversions."""
    operators = read_graph(content).operators
    return [item for item in operators if item.type not in {"QUANTIZE", "DEQUANTIZE"}]


def ends(content: bytes) -> tuple[str, str]:
    """Return the data types of input and output."""
    graph = read_graph(content)
    return graph.inputs[0].dtype, graph.outputs[0].dtype


def weight_types(content: bytes) -> set[str]:
    """Return the data types of the weights."""
    return {item.weights.dtype for item in layers(content) if item.weights}


def error(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the error as a fraction of the outputs' standard deviation between images."""
    return float(np.abs(found - expected).mean() / expected.std(axis=0).mean())


@pytest.fixture(scope="session")
def ranges(tflite_floats: bytes, case: SourceModel, sample: NDArray[np.uint8]) -> Ranges:
    """Min-max calibration ranges of the case's activations."""
    return calibrate_tflite(
        tflite_floats, spec=case.spec, calibration=sample, config=QuantizationConfig()
    )


@pytest.fixture(scope="session")
def made(tflite_floats: bytes, ranges: Ranges) -> Mapping[str, bytes]:
    """The case's files by precision."""
    return {
        "int8": quantize_tflite(tflite_floats, ranges=ranges, config=QuantizationConfig()),
        "int16x8": to_int16x8(tflite_floats, ranges=ranges),
        "dynamic": to_dynamic_range(tflite_floats),
        "float16": to_float16(tflite_floats),
    }


def test_int8_input_takes_an_images_bytes(case: SourceModel, made: Mapping[str, bytes]) -> None:
    """The input is uint8, and its scale and zero point are those of the input spec."""
    entry = read_graph(made["int8"]).inputs[0]
    assert (entry.dtype, entry.shape) == ("uint8", (1, *case.spec.shape))
    assert entry.quantization is not None
    assert entry.quantization.scales == pytest.approx((case.spec.scale,), rel=1e-6)
    assert entry.quantization.zero_points == pytest.approx(
        (-case.spec.offset / case.spec.scale,), abs=0.5
    )


def test_int8_output_is_uint8(case: SourceModel, made: Mapping[str, bytes]) -> None:
    """The output is one uint8 for each class."""
    end = read_graph(made["int8"]).outputs[0]
    assert (end.dtype, end.shape) == ("uint8", (1, len(case.labels)))


@pytest.mark.parametrize("precision", ["int8", "int16x8"])
def test_no_operator_of_integer_files_is_float(precision: str, made: Mapping[str, bytes]) -> None:
    """Every operator computes with integers, with int8 weights."""
    assert read_graph(made[precision]).totals.float_operators == 0
    assert weight_types(made[precision]) == {"int8"}


def test_int8_files_have_no_float_tensor(made: Mapping[str, bytes]) -> None:
    """No tensor of the interpreter is float, and all operators are built-in ones."""
    interpreter = Interpreter(model_content=made["int8"])
    dtypes = {tensor["dtype"] for tensor in interpreter.get_tensor_details()}
    assert dtypes <= {np.uint8, np.int8, np.int32}
    operators = {item.type for item in read_graph(made["int8"]).operators}
    assert not {name for name in operators if name.startswith(("CUSTOM", "Flex"))}


@pytest.mark.parametrize("precision", ["int8", "int16x8", "dynamic"])
def test_weights_are_per_channel(
    precision: str, case: SourceModel, made: Mapping[str, bytes]
) -> None:
    """Convolutions and dense layers have one scale per output channel, and zero point 0."""
    weights = [
        (item.weights, CHANNELS[item.type]) for item in layers(made[precision]) if item.weights
    ]
    for tensor, axis in weights:
        assert tensor.quantization is not None
        assert len(tensor.quantization.scales) == tensor.shape[axis]
        assert len(set(tensor.quantization.scales)) > 1
        assert set(tensor.quantization.zero_points) == {0}
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
    assert len(weights) == sum(isinstance(layer, kinds) for layer in case.model.layers)


def test_int8_predictions_are_close_to_keras(
    made: Mapping[str, bytes],
    images: NDArray[np.uint8],
    expected: NDArray[np.float32],
    run_tflite: Run,
) -> None:
    """The error is small, and more than 90 % of the labels of 200 real images are Keras'."""
    found = run_tflite(made["int8"], images)
    assert error(found, expected) < 0.1
    assert np.mean(found.argmax(axis=1) == expected.argmax(axis=1)) > 0.9


@pytest.mark.parametrize("position", [0, 1, -1])
def test_excluded_layers_stay_in_float(  # noqa: PLR0917 (fixtures)
    position: int,
    tflite_floats: bytes,
    ranges: Ranges,
    images: NDArray[np.uint8],
    expected: NDArray[np.float32],
    run_tflite: Run,
) -> None:
    """Only the excluded layer is float: first, second or last; input and output stay uint8."""
    names = [item.name for item in layers(tflite_floats)]
    config = QuantizationConfig(excluded_layers=(names[position],))
    content = quantize_tflite(tflite_floats, ranges=ranges, config=config)
    in_float = [item.is_float for item in layers(content)]
    assert len(in_float) == len(names)
    assert in_float.pop(position)
    assert not any(in_float)
    assert ends(content) == ("uint8", "uint8")
    assert read_graph(content).inputs[0].quantization is not None
    assert error(run_tflite(content, images), expected) < 0.1


def test_int16x8_is_closer_than_int8(
    case: SourceModel,
    made: Mapping[str, bytes],
    images: NDArray[np.uint8],
    expected: NDArray[np.float32],
    run_tflite: Run,
) -> None:
    """Input and output are float; with int16 activations the error is smaller."""
    assert ends(made["int16x8"]) == ("float32", "float32")
    wide = error(run_tflite(made["int16x8"], to_tensor(images, case.spec)), expected)
    assert wide < 0.8 * error(run_tflite(made["int8"], images), expected)


def test_dynamic_range(
    case: SourceModel,
    made: Mapping[str, bytes],
    images: NDArray[np.uint8],
    expected: NDArray[np.float32],
    run_tflite: Run,
) -> None:
    """Weights are int8, input and output are float, and the error is small."""
    assert ends(made["dynamic"]) == ("float32", "float32")
    assert weight_types(made["dynamic"]) == {"int8"}
    assert error(run_tflite(made["dynamic"], to_tensor(images, case.spec)), expected) < 0.1


def test_float16(  # noqa: PLR0917 (fixtures)
    case: SourceModel,
    tflite_floats: bytes,
    made: Mapping[str, bytes],
    images: NDArray[np.uint8],
    expected: NDArray[np.float32],
    run_tflite: Run,
) -> None:
    """Weights take half the bytes, and no output differs from Keras' by more than 1e-2."""
    assert ends(made["float16"]) == ("float32", "float32")
    before, after = (read_graph(x).totals.weight_bytes for x in (tflite_floats, made["float16"]))
    assert after == pytest.approx(before / 2, rel=0.02)
    found = run_tflite(made["float16"], to_tensor(images, case.spec))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-2)


def test_size_of_the_trained_network(source: SourceModel, few: Splits) -> None:
    """Weights are most of the file: float16 halves it, and int8 weights quarter it."""
    floats = export_tflite(source.model, spec=source.spec)
    found = calibrate_tflite(
        floats, spec=source.spec, calibration=few.train.images[:5], config=QuantizationConfig()
    )
    assert len(to_float16(floats)) / len(floats) == pytest.approx(1 / 2, abs=0.01)
    for content in (
        quantize_tflite(floats, ranges=found, config=QuantizationConfig()),
        to_int16x8(floats, ranges=found),
        to_dynamic_range(floats),
    ):
        assert len(content) / len(floats) == pytest.approx(1 / 4, abs=0.02)


@pytest.mark.parametrize("precision", ["int8", "int16x8", "dynamic", "float16"])
def test_weights_are_inside_the_flatbuffer(precision: str, made: Mapping[str, bytes]) -> None:
    """No buffer lies behind the flatbuffer, where metadata would shift its offset."""
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(made[precision]))
    assert model.buffers
    assert not any(buffer.offset or buffer.size for buffer in model.buffers)
    assert sum(len(x.data) for x in model.buffers if x.data is not None) > 1000


def test_metadata_changes_no_prediction(
    source: SourceModel, few: Splits, metadata: ModelMetadata, run_tflite: Run
) -> None:
    """An int8 file with all its metadata gives exactly the outputs of the bare model."""
    floats = export_tflite(source.model, spec=source.spec)
    found = calibrate_tflite(
        floats, spec=source.spec, calibration=few.train.images[:20], config=QuantizationConfig()
    )
    content = quantize_tflite(floats, ranges=found, config=QuantizationConfig())
    spec = dataclasses.replace(source.spec, dtype="uint8")
    whole = write_metadata(content, dataclasses.replace(metadata, precision="int8", input=spec))
    assert len(whole) > len(content)
    images = few.test.images[:50]
    assert np.array_equal(run_tflite(whole, images), run_tflite(content, images))


def test_the_same_model_gives_the_same_bytes(
    case: SourceModel,
    tflite_floats: bytes,
    sample: NDArray[np.uint8],
    ranges: Ranges,
    made: Mapping[str, bytes],
) -> None:
    """Calibrating and quantizing again in the same process gives equal files."""
    again = calibrate_tflite(
        tflite_floats, spec=case.spec, calibration=sample, config=QuantizationConfig()
    )
    assert again == ranges
    assert quantize_tflite(tflite_floats, ranges=again, config=QuantizationConfig()) == made["int8"]
    assert to_int16x8(tflite_floats, ranges=again) == made["int16x8"]
    assert to_dynamic_range(tflite_floats) == made["dynamic"]
    assert to_float16(tflite_floats) == made["float16"]


@pytest.mark.parametrize("offset", [0.5, -2.0])
def test_input_ranges_without_zero_are_refused(
    offset: float, source: SourceModel, few: Splits
) -> None:
    """int8 needs a zero for padding; the error states the input range in one line."""
    spec = dataclasses.replace(source.spec, offset=offset)
    floats = export_tflite(source.model, spec=spec)
    ranges = calibrate_tflite(
        floats, spec=spec, calibration=few.train.images[:2], config=QuantizationConfig()
    )
    with pytest.raises(
        ExportError, match=r"^int8 TFLite needs an input range that includes zero; [^\n]+$"
    ) as caught:
        quantize_tflite(floats, ranges=ranges, config=QuantizationConfig())
    assert f"{offset:g}..{offset + 1:g}" in str(caught.value)


def test_failed_quantization_is_one_line(source: SourceModel) -> None:
    """If a tensor has no range, the error has the precision and the reason in one line."""
    floats = export_tflite(source.model, spec=source.spec)
    image = read_graph(floats).inputs[0].name
    with pytest.raises(ExportError, match=r"^cannot quantize to int8 TFLite: [^\n]+$"):
        quantize_tflite(floats, ranges={image: (0, 1)}, config=QuantizationConfig())
    with pytest.raises(ExportError, match=r"^cannot quantize to int16x8 TFLite: [^\n]+$"):
        to_int16x8(floats, ranges={image: (0, 1)})
