"""Order and numbering of ONNX graphs."""

from __future__ import annotations

import random

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fmx_export.onnx.normalize import drop_unused_opsets, normalize_graph, sort_topologically


def diamond(numbers: list[int], seed: int) -> onnx.ModelProto:
    """``(a * x) - (b * x)`` with tf2onnx' kind of names; ``seed`` shuffles nodes and constants."""
    first, second, third, fourth = numbers
    nodes = [
        helper.make_node("Mul", [f"k__{first}", "x"], [f"m__{third}:0"], f"m__{third}"),
        helper.make_node("Mul", [f"k__{second}", "x"], [f"m__{fourth}:0"], f"m__{fourth}"),
        helper.make_node("Sub", [f"m__{third}:0", f"m__{fourth}:0"], ["layer__1/out:0"], "sub"),
    ]
    constants = [
        numpy_helper.from_array(np.float32([5]), f"k__{first}"),
        numpy_helper.from_array(np.float32([3]), f"k__{second}"),
        numpy_helper.from_array(np.float32([1]), "unused__99"),
    ]
    shuffle = random.Random(seed)
    shuffle.shuffle(constants)
    products = nodes[:2]
    shuffle.shuffle(products)
    input_and_output = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])
        for name in ("x", "layer__1/out:0")
    ]
    graph = helper.make_graph(
        [*products, nodes[2]], "g", input_and_output[:1], input_and_output[1:], constants
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def branching() -> onnx.GraphProto:
    """A graph with an If operator, whose branches read a tensor of the outer graph."""
    branch = helper.make_graph(
        [helper.make_node("Neg", ["outer__7"], ["y__3"])],
        "then",
        [],
        [helper.make_tensor_value_info("y__3", TensorProto.FLOAT, [1])],
    )
    nodes = [
        helper.make_node("Abs", ["x"], ["outer__7"]),
        helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
    ]
    return helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1]),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )


@pytest.mark.parametrize("seed", range(4))
def test_order_and_numbering_are_normalized(seed: int) -> None:
    """Graphs that differ only in order and numbering become the same bytes."""
    first, second = diamond([4, 17, 8, 9], 0), diamond([18, 3, 30, 29], seed)
    normalize_graph(first.graph)
    normalize_graph(second.graph)
    onnx.checker.check_model(second, full_check=True)
    assert first.graph.SerializeToString() == second.graph.SerializeToString()


def test_normalized_graph_computes_the_same() -> None:
    """Operands keep their order, and the names of inputs and outputs are not changed."""
    model = diamond([4, 17, 8, 9], 1)
    normalize_graph(model.graph)
    output = onnx.reference.ReferenceEvaluator(model).run(None, {"x": np.float32([7])})
    assert output == [14]


def test_unused_constants_are_dropped() -> None:
    """A constant that no node reads is removed."""
    model = diamond([4, 17, 8, 9], 1)
    normalize_graph(model.graph)
    assert len(model.graph.initializer) == 2


def test_sorting_keeps_names() -> None:
    """Sorting alone orders nodes and constants, drops the unused one, and renames nothing."""
    model = diamond([4, 17, 8, 9], 1)
    sort_topologically(model.graph)
    assert [node.name for node in model.graph.node] == ["m__8", "m__9", "sub"]
    assert [constant.name for constant in model.graph.initializer] == ["k__4", "k__17"]


def test_graph_with_branches_is_not_changed() -> None:
    """In a graph with control flow nothing is renamed, because branches read outer tensors."""
    graph = branching()
    before = graph.SerializeToString()
    normalize_graph(graph)
    sort_topologically(graph)
    assert graph.SerializeToString() == before


def test_unused_opsets_are_dropped() -> None:
    """Only the operator sets that a model uses are imported, so any runtime with those runs it."""
    model = diamond([4, 17, 8, 9], 1)
    model.opset_import.extend([helper.make_opsetid("ai.onnx.ml", 2), helper.make_opsetid("fmx", 1)])
    model.graph.node[0].domain = "fmx"
    drop_unused_opsets(model)
    assert [(item.domain, item.version) for item in model.opset_import] == [("", 17), ("fmx", 1)]
