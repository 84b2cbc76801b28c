from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from fmx_runtime.backends.onnxruntime import OnnxBackend
from fmx_runtime.errors import ModelFileError


def model_of(inputs: int, outputs: int) -> bytes:
    """An ONNX model that passes on each input, or the first one, to each output."""
    shape = [1, 28, 28, 1]
    names = [f"in{number}" for number in range(inputs)]
    nodes = [
        helper.make_node("Identity", [names[min(number, inputs - 1)]], [f"out{number}"])
        for number in range(outputs)
    ]
    values = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in group]
        for group in (names, [f"out{number}" for number in range(outputs)])
    ]
    graph = helper.make_graph(nodes, "graph", *values)
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    content: bytes = model.SerializeToString()
    return content


@pytest.mark.parametrize(("inputs", "outputs"), [(2, 1), (1, 2), (3, 3)])
def test_one_input_and_one_output(inputs: int, outputs: int) -> None:
    """A model with another number of inputs or outputs is refused."""
    with pytest.raises(ModelFileError, match=f"one output, found {inputs} and {outputs}"):
        OnnxBackend(model_of(inputs, outputs), threads=1)


def test_large_sums_of_int8_products_are_exact() -> None:
    """Inputs of 255 times weights of 127, whose pairs overflow 16 bits, give their exact sum.

    x86 processors without VNNI add such pairs up in 16 bits, and cut them off there.
    """
    names = ("scale", "zero_byte", "weights", "zero", "sums")
    arrays = (
        np.array(1, np.float32),
        np.array(0, np.uint8),
        np.full((64, 8), 127, np.int8),
        np.array(0, np.int8),
        np.array(64 * 127, np.float32),
    )
    multiplied = helper.make_node(
        "QLinearMatMul",
        ["a", "scale", "zero_byte", "weights", "scale", "zero", "sums", "zero_byte"],
        ["rounded"],
    )
    scaled = helper.make_node("DequantizeLinear", ["rounded", "sums", "zero_byte"], ["answer"])
    graph = helper.make_graph(
        [multiplied, scaled],
        "sums",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [1, 64])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [1, 8])],
        [onnx.numpy_helper.from_array(a, name) for name, a in zip(names, arrays, strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    opened = OnnxBackend(model.SerializeToString(), threads=1)
    answer = opened.run(np.full((1, 64), 255, np.uint8))
    assert np.unique(answer).tolist() == [255 * 64 * 127]
