"""Keras to TFLite, asked of the real interpreter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from fmx_export.tflite import export_tflite
from fmx_runtime.errors import ExportError
from fmx_runtime.preprocess import to_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmx_export.bundle import Source
    from fmx_runtime.card import Precision
    from fmx_training.dataset import Splits

CONVOLUTIONS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}
"""The axis of the weights along which the output channels lie."""


def convert(case: Source, sample: NDArray[np.uint8], precision: Precision) -> bytes:
    """The case as TFLite."""
    return export_tflite(case.model, precision=precision, spec=case.spec, calibration=sample)


def opened(content: bytes) -> Interpreter:
    """The file in LiteRT, ready to run."""
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    return interpreter


def answers(content: bytes, tensors: NDArray[Any]) -> NDArray[np.float32]:
    """What LiteRT says to the input tensors one by one, dequantized."""
    interpreter = opened(content)
    entry, end = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for index in range(len(tensors)):
        interpreter.set_tensor(entry["index"], tensors[index : index + 1])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(end["index"])[0])
    scale, zero_point = end["quantization"]
    raw = np.array(rows, np.float32)
    return (raw - zero_point) * scale if scale else raw


@pytest.fixture(scope="session")
def floats(case: Source, sample: NDArray[np.uint8]) -> bytes:
    """The case's float file."""
    return convert(case, sample, "float32")


@pytest.fixture(scope="session")
def bytewise(case: Source, sample: NDArray[np.uint8]) -> bytes:
    """The case's int8 file."""
    return convert(case, sample, "int8")


def test_float_input_and_output(case: Source, floats: bytes) -> None:
    """A float file takes one float picture and gives one float row, nothing in it is quantized."""
    interpreter = opened(floats)
    entry, end = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    assert (entry["dtype"], end["dtype"]) == (np.float32, np.float32)
    assert tuple(entry["shape"]) == (1, *case.spec.shape)
    assert tuple(end["shape"]) == (1, case.model.output_shape[1])
    assert {t["dtype"] for t in interpreter.get_tensor_details()} <= {np.float32, np.int32}


def test_float_answers_as_keras(
    case: Source, floats: bytes, pictures: NDArray[np.uint8], expected: NDArray[np.float32]
) -> None:
    """On 200 real pictures no number differs from Keras' by more than 1e-4."""
    found = answers(floats, to_tensor(pictures, case.spec))
    assert len(found) == 200
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_int8_takes_the_pixels_own_bytes(case: Source, bytewise: bytes) -> None:
    """The int8 file takes uint8, and its scale and zero point are what a pixel means."""
    entry = opened(bytewise).get_input_details()[0]
    scale, zero_point = entry["quantization"]
    assert entry["dtype"] == np.uint8
    assert tuple(entry["shape"]) == (1, *case.spec.shape)
    assert scale == pytest.approx(case.spec.scale, rel=1e-6)
    assert zero_point == pytest.approx(-case.spec.offset / case.spec.scale, abs=0.5)


def test_int8_gives_bytes(case: Source, bytewise: bytes) -> None:
    """The int8 file's output is a row of uint8, one for each class."""
    end = opened(bytewise).get_output_details()[0]
    assert end["dtype"] == np.uint8
    assert tuple(end["shape"]) == (1, case.model.output_shape[1])


def test_int8_has_no_float_in_it(bytewise: bytes) -> None:
    """No tensor of an int8 file is float, and no operator turns bytes into floats."""
    interpreter = opened(bytewise)
    dtypes = {tensor["dtype"] for tensor in interpreter.get_tensor_details()}
    operators = {operator["op_name"] for operator in interpreter._get_ops_details()}
    assert dtypes <= {np.uint8, np.int8, np.int32}
    assert "DEQUANTIZE" not in operators
    assert not {name for name in operators if name.startswith(("CUSTOM", "Flex"))}


def test_int8_weights_are_per_channel(case: Source, bytewise: bytes) -> None:
    """Each convolution has int8 weights, a scale for each output channel, and int32 biases."""
    interpreter = opened(bytewise)
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    found = 0
    for operator in interpreter._get_ops_details():
        if operator["op_name"] not in CONVOLUTIONS:
            continue
        weights, bias = (tensors[int(index)] for index in operator["inputs"][1:3])
        parameters = weights["quantization_parameters"]
        assert weights["dtype"] == np.int8
        assert parameters["quantized_dimension"] == CONVOLUTIONS[operator["op_name"]]
        assert len(parameters["scales"]) == weights["shape"][parameters["quantized_dimension"]]
        assert len(set(parameters["scales"].tolist())) > 1
        assert not parameters["zero_points"].any()
        assert bias["dtype"] == np.int32
        found += 1
    assert found == sum("conv2d" in layer.name for layer in case.model.layers)


def test_int8_answers_nearly_as_keras(
    bytewise: bytes, pictures: NDArray[np.uint8], expected: NDArray[np.float32]
) -> None:
    """The int8 file's error is a small part of how much the answers differ between pictures."""
    found = answers(bytewise, pictures)
    spread = expected.std(axis=0).mean()
    assert np.abs(found - expected).mean() < 0.1 * spread
    assert np.mean(found.argmax(axis=1) == expected.argmax(axis=1)) > 0.9


def test_the_same_model_gives_the_same_bytes(
    case: Source, sample: NDArray[np.uint8], floats: bytes, bytewise: bytes
) -> None:
    """Converting again, in the same process, gives the very same file."""
    assert convert(case, sample, "float32") == floats
    assert convert(case, sample, "int8") == bytewise


def test_a_sample_that_does_not_span_is_refused(source: Source, few: Splits) -> None:
    """Dark calibration pictures would shift the pixels' meaning: refused, with both meanings."""
    dark = few.train.images[:50] // 2
    with pytest.raises(ExportError, match=r"0\.00392157 \* byte \+ 0, .* 0\.00195.*span 0 to 255"):
        export_tflite(source.model, precision="int8", spec=source.spec, calibration=dark)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_what_cannot_be_converted_is_said(
    precision: Precision, unconvertible: Any, few: Splits, source: Source
) -> None:
    """A network with Python code inside gives one line with the precision and the reason."""
    with pytest.raises(
        ExportError, match=f"cannot convert to {precision} TFLite: .*PyFunc"
    ) as caught:
        export_tflite(
            unconvertible,
            precision=precision,
            spec=source.spec,
            calibration=few.train.images[:10],
        )
    assert "\n" not in str(caught.value)
