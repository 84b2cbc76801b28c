"""Calibration of int8 ONNX: the ranges of real networks' activations."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from fmx_export.common.quantization_config import METHODS, QuantizationConfig
from fmx_export.onnx.calibrate import calibrate_onnx
from fmx_export.onnx.convert import export_onnx
from fmx_export.onnx.quantize import prepare_onnx, quantize_onnx
from fmx_export.onnx.uint8_input import to_uint8_input
from fmx_runtime.images.preprocess import to_tensor
from fmx_runtime.model_file.metadata import InputSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits

    Run = Callable[[onnx.ModelProto, NDArray[Any]], NDArray[np.float32]]


@pytest.fixture
def halving_model() -> onnx.ModelProto:
    """``-x / 2``, computed in two steps, for images of 2x2 gray pixels."""
    nodes = [
        helper.make_node("Neg", ["image"], ["negative"]),
        helper.make_node("Div", ["negative", "two"], ["half"]),
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 2, 2, 1))
        for name in ("image", "half")
    ]
    two = onnx.numpy_helper.from_array(np.array(2, np.float32), "two")
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [two])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def test_min_max_ranges(halving_model: onnx.ModelProto) -> None:
    """Of input, inner tensor and output, the smallest and the largest value of all images count."""
    spec = InputSpec(
        height=2, width=2, channels=1, scale=0.5, offset=0.0, resize="stretch", polarity="any"
    )
    images = np.array([[10, 20, 30, 40], [2, 100, 3, 4]], np.uint8).reshape(2, 2, 2, 1)
    ranges = calibrate_onnx(
        halving_model, spec=spec, calibration=images, config=QuantizationConfig()
    )
    assert ranges == {"image": (0, 50), "negative": (-50, 0), "half": (-25, 0)}


def test_every_float_tensor_has_a_range(
    case: SourceModel, prepared: onnx.ModelProto, sample: NDArray[np.uint8]
) -> None:
    """Each tensor that a node computes has a range that includes zero; the model is unchanged."""
    before = prepared.SerializeToString()
    ranges = calibrate_onnx(
        prepared, spec=case.spec, calibration=sample[:5], config=QuantizationConfig()
    )
    computed = {name for node in prepared.graph.node for name in node.output}
    assert ranges.keys() == computed | {prepared.graph.input[0].name}
    assert all(low <= 0 <= high and low < high for low, high in ranges.values())
    assert prepared.SerializeToString() == before


def test_each_calibration_method(
    source: SourceModel,
    few: Splits,
    run_onnx: Run,
    assert_close: Callable[..., None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """On the trained network, each method's ranges are narrower than those of the one before.

    All methods give ranges of the same tensors, and int8 models whose outputs are close to
    Keras'. Nothing is printed.
    """
    images = few.test.images[:200]
    expected = source.model.predict(to_tensor(images, source.spec), verbose=0)
    prepared = prepare_onnx(export_onnx(source.model, spec=source.spec))
    capfd.readouterr()
    ranges_of_methods = []
    for method in METHODS:
        config = QuantizationConfig(method)
        ranges = calibrate_onnx(
            prepared, spec=source.spec, calibration=few.train.images[:20], config=config
        )
        quantized = quantize_onnx(
            prepared, spec=source.spec, ranges=ranges, config=config, target="x86-64"
        )
        assert_close(run_onnx(to_uint8_input(quantized, source.spec), images), expected)
        ranges_of_methods.append(ranges)
    assert capfd.readouterr().out == ""
    first, second, third = ranges_of_methods
    assert first.keys() == second.keys() == third.keys()
    widths = [sum(high - low for low, high in ranges.values()) for ranges in ranges_of_methods]
    assert all(wide > narrow for wide, narrow in itertools.pairwise(widths))
