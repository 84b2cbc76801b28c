"""An ONNX graph in one order."""

from __future__ import annotations

import random

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fmx_export.onnx.normalize import canonicalize, drop_unused_operator_sets


def diamond(numbers: list[int], seed: int) -> onnx.ModelProto:
    """``(a * x) - (b * x)`` with tf2onnx' kind of names, its parts in an order of their own."""
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
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])
        for name in ("x", "layer__1/out:0")
    ]
    graph = helper.make_graph([*products, nodes[2]], "g", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


@pytest.mark.parametrize("seed", range(4))
def test_order_and_numbers_do_not_matter(seed: int) -> None:
    """Graphs that differ in order and numbering alone become the same bytes."""
    first, second = diamond([4, 17, 8, 9], 0), diamond([18, 3, 30, 29], seed)
    canonicalize(first.graph)
    canonicalize(second.graph)
    onnx.checker.check_model(second, full_check=True)
    assert first.graph.SerializeToString() == second.graph.SerializeToString()


def test_the_graph_computes_the_same() -> None:
    """Operands keep their places, and the names of inputs and outputs stay."""
    model = diamond([4, 17, 8, 9], 1)
    canonicalize(model.graph)
    answer = onnx.reference.ReferenceEvaluator(model).run(None, {"x": np.float32([7])})
    assert answer == [14]


def test_what_no_output_needs_is_left_out() -> None:
    """A constant that nothing reads is gone."""
    model = diamond([4, 17, 8, 9], 1)
    canonicalize(model.graph)
    assert len(model.graph.initializer) == 2


def test_a_graph_with_branches_stays_as_it_is() -> None:
    """Names that a branch uses from outside are not renamed behind its back."""
    inside = helper.make_graph(
        [helper.make_node("Neg", ["outer__7"], ["y__3"])],
        "then",
        [],
        [helper.make_tensor_value_info("y__3", TensorProto.FLOAT, [1])],
    )
    nodes = [
        helper.make_node("Abs", ["x"], ["outer__7"]),
        helper.make_node("If", ["c"], ["y"], then_branch=inside, else_branch=inside),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1]),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    before = graph.SerializeToString()
    canonicalize(graph)
    assert graph.SerializeToString() == before


def test_operator_sets_that_no_operator_is_from_are_dropped() -> None:
    """A runtime that lacks a converter's operators opens a file that does not use them."""
    model = diamond([4, 17, 8, 9], 1)
    model.opset_import.extend([helper.make_opsetid("ai.onnx.ml", 2), helper.make_opsetid("fmx", 1)])
    model.graph.node[0].domain = "fmx"
    drop_unused_operator_sets(model)
    assert [(item.domain, item.version) for item in model.opset_import] == [("", 17), ("fmx", 1)]
