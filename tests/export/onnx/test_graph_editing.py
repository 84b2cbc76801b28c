"""Reading and changing the nodes of ONNX graphs."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from fmx_export.onnx.graph_editing import (
    NodeChain,
    attributes_of,
    constant_value,
    consumers,
    only_consumer,
    producers,
    rename_inputs,
    shape_of,
)

TEXT = """<ir_version: 8, opset_import: ["" : 17]> g (float[1,4,N] x) => (float[1,4,N] y)
<float[1] two = {2.0}, float[1] three = {3.0}>
{
    a = Mul (x, two)
    b = Mul (x, three)
    c = Add (a, b)
    y = Transpose <perm = [0, 1, 2]> (c)
}"""


@pytest.fixture
def model() -> onnx.ModelProto:
    """``transpose(2 * x + 3 * x)``."""
    return onnx.parser.parse_model(TEXT)


def run(model: onnx.ModelProto, values: list[float]) -> list[float]:
    """The model's output for an input (1, 4, 1), with the checker's consent."""
    onnx.checker.check_model(model, full_check=True)
    tensor = np.array(values, np.float32).reshape(1, 4, 1)
    (output,) = onnx.reference.ReferenceEvaluator(model).run(None, {"x": tensor})
    return list(np.ravel(output).tolist())


def test_consumers_and_producers(model: onnx.ModelProto) -> None:
    """Nodes are found by the tensors that they read and compute."""
    graph = model.graph
    assert [node.output[0] for node in consumers(graph, "x")] == ["a", "b"]
    assert consumers(graph, "y") == []
    assert {name: node.op_type for name, node in producers(graph).items()} == {
        "a": "Mul",
        "b": "Mul",
        "c": "Add",
        "y": "Transpose",
    }


def test_only_consumer(model: onnx.ModelProto) -> None:
    """A consumer is returned if it is the only one and the tensor is not an output."""
    graph = model.graph
    consumer = only_consumer(graph, "a")
    assert consumer is not None
    assert consumer.op_type == "Add"
    assert only_consumer(graph, "x") is None
    assert only_consumer(graph, "y") is None
    graph.output.append(onnx.helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, None))
    assert only_consumer(graph, "c") is None


def test_values_of_nodes_and_tensors(model: onnx.ModelProto) -> None:
    """Attributes are tuples, initializers arrays, and open sizes 0."""
    graph = model.graph
    assert attributes_of(graph.node[3]) == {"perm": (0, 1, 2)}
    assert constant_value(graph, "three") == np.float32([3])
    with pytest.raises(StopIteration):
        constant_value(graph, "x")
    assert shape_of(graph.input[0]) == (1, 4, 0)


def test_rename_inputs(model: onnx.ModelProto) -> None:
    """All readers of a tensor read the other one."""
    rename_inputs(model.graph, "three", "two")
    assert run(model, [1, 2, 3, 4]) == [4, 8, 12, 16]


def test_chain_replaces_nodes(model: onnx.ModelProto) -> None:
    """The chain computes the output in the place of the old nodes, whose constants are dropped."""
    chain = NodeChain(model.graph, "new")
    chain.add("Mul", chain.add_constant("seven", np.float32([7])))
    chain.add_reshape((1, 2, 2))
    chain.add_transpose((0, 2, 1))
    chain.add_reshape((1, 4, 1))
    chain.replace(list(model.graph.node))
    assert run(model, [1, 2, 3, 4]) == [7, 21, 14, 28]
    names = [node.name for node in model.graph.node]
    assert names == ["new/0_Mul", "new/1_Reshape", "new/2_Transpose", "new/3_Reshape"]
    assert {item.name for item in model.graph.initializer} == {
        "new/seven",
        "new/shape_1",
        "new/shape_3",
    }


def test_chain_in_front_of_other_nodes(model: onnx.ModelProto) -> None:
    """Nodes that are not replaced read the chain's output under the old name."""
    chain = NodeChain(model.graph, "new")
    chain.add("Neg")
    chain.replace([node for node in model.graph.node if node.output[0] in {"a", "b", "c"}])
    assert [node.op_type for node in model.graph.node] == ["Neg", "Transpose"]
    assert run(model, [1, 2, 3, 4]) == [-1, -2, -3, -4]
