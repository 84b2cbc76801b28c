"""Graphs of TFLite files: fmx's own, and those of TensorFlow's converter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from fmx_export.tflite.graph import read_tflite

if TYPE_CHECKING:
    from pathlib import Path


def test_tensors_are_those_of_the_interpreter(exported: Path) -> None:
    """Shapes, types, scales and zero points equal those that the interpreter reports."""
    content = (exported / "baseline.int8.tflite").read_bytes()
    interpreter = Interpreter(model_content=content)
    reported = {item["name"]: item for item in interpreter.get_tensor_details()}
    graph = read_tflite(content)
    tensors = [*graph.inputs, *graph.outputs, *(item.output for item in graph.operators)]
    tensors += [item.weights for item in graph.operators if item.weights]
    assert len(tensors) == 16
    for tensor in tensors:
        detail = reported[tensor.name]
        assert tensor.shape == tuple(detail["shape"])
        assert tensor.dtype == np.dtype(detail["dtype"]).name
        assert tensor.quantization is not None
        assert tensor.quantization.scales == tuple(
            detail["quantization_parameters"]["scales"].tolist()
        )
        assert tensor.quantization.zero_points == tuple(
            detail["quantization_parameters"]["zero_points"].tolist()
        )


def test_int8_files_have_no_float_operator(exported: Path) -> None:
    """The whole int8 file computes with integers, softmax included."""
    operators = read_tflite((exported / "baseline.int8.tflite").read_bytes()).operators
    assert "SOFTMAX" in {item.type for item in operators}
    assert not any(item.is_float for item in operators)


@pytest.mark.parametrize(
    ("types", "optimizations", "dense"),
    [
        ([], [], "float32"),
        ([tf.float16], [tf.lite.Optimize.DEFAULT], "float16"),
        ([], [tf.lite.Optimize.DEFAULT], "int8"),
    ],
    ids=["float32", "float16", "int8 weights"],
)
def test_files_of_the_tensorflow_converter(
    types: list[Any], optimizations: list[Any], dense: str, odd_network: Any
) -> None:
    """Open batches, grouped and transposed convolutions and float16 or int8 weights are counted."""
    converter = tf.lite.TFLiteConverter.from_keras_model(odd_network)
    converter.optimizations = optimizations
    converter.target_spec.supported_types = types
    graph = read_tflite(converter.convert())
    assert graph.inputs[0].shape == (None, 8, 8, 1)
    assert graph.totals.parameters == odd_network.count_params()
    costs = {item.type: item for item in graph.operators if item.multiply_accumulates}
    assert {kind: item.multiply_accumulates for kind, item in costs.items()} == {
        "TRANSPOSE_CONV": 8 * 8 * 9 * 4,
        "CONV_2D": 14 * 14 * 6 * 9 * 2,
        "FULLY_CONNECTED": 1176 * 3,
    }
    weights = costs["FULLY_CONNECTED"].weights
    assert weights is not None
    assert weights.dtype == dense
    kinds = {item.type for item in graph.operators if item.is_float}
    assert kinds == {*costs, "RESHAPE", "SOFTMAX"}


@pytest.fixture(scope="session")
def odd_network() -> Any:
    """A transposed and a grouped convolution, with weights that all differ."""
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2DTranspose(4, 3, strides=2, padding="same"),
            keras.layers.Conv2D(6, 3, groups=2),
            keras.layers.Flatten(),
            keras.layers.Dense(3, "softmax"),
        ]
    )
    rng = np.random.default_rng(0)
    network.set_weights([rng.uniform(0.1, 1, weight.shape) for weight in network.get_weights()])
    return network
