"""Costs of hand-made graphs, in which every number is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fmx_export.common.graph import QuantizationParameters, Tensor
from fmx_export.common.graph_costs import (
    Constant,
    Node,
    build_graph,
    element_count,
    is_float,
    multiply,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fmx_export.common.graph import Graph


def tensor(
    name: str, *shape: int | None, dtype: str = "float32", quantized: bool = False
) -> Tensor:
    """A tensor, with a scale if it is quantized."""
    parameters = QuantizationParameters(scales=(0.5,), zero_points=(0,)) if quantized else None
    return Tensor(name=name, shape=shape, dtype=dtype, quantization=parameters)


def node(
    name: str,
    inputs: tuple[str, ...],
    *,
    operator: str = "Gemm",
    multiply_accumulates: int | None = 6,
    is_float: bool = True,
    pass_through: bool = False,
) -> Node:
    """An operator that is called like its output."""
    return Node(
        type=operator,
        name=name,
        inputs=inputs,
        outputs=(name,),
        output=tensor(name, 1, 3),
        multiply_accumulates=multiply_accumulates,
        is_float=is_float,
        pass_through=pass_through,
    )


def graph_of(
    nodes: Sequence[Node], constants: Mapping[str, Constant], size_bytes: int = 1000
) -> Graph:
    """The graph of a file of this size."""
    return build_graph(
        nodes,
        constants,
        model_format="onnx",
        inputs=(tensor("x", 1, 2),),
        outputs=(tensor("y", 1, 3),),
        size_bytes=size_bytes,
    )


WEIGHTS = Constant(buffer="w", tensor=tensor("w", 2, 3), size_bytes=24)
BIAS = Constant(buffer="b", tensor=tensor("b", 3), size_bytes=12)


def test_weights_and_bias_belong_to_their_operator() -> None:
    """Parameters, bytes and their share of the file are those of weights and bias together."""
    (operator,) = graph_of([node("y", ("x", "w", "b"))], {"w": WEIGHTS, "b": BIAS}).operators
    assert operator.parameters == 6 + 3
    assert operator.weight_bytes == 24 + 12
    assert operator.file_share == pytest.approx(0.036)
    assert operator.weights == WEIGHTS.tensor


def test_totals_sum_up_the_operators() -> None:
    """Each total is the sum over the operators."""
    nodes = [
        node("a", ("x", "w")),
        node("r", ("a",), operator="Relu", multiply_accumulates=0, is_float=False),
        node("y", ("r", "b"), operator="Add", multiply_accumulates=0),
    ]
    graph = graph_of(nodes, {"w": WEIGHTS, "b": BIAS})
    totals = graph.totals
    assert [operator.index for operator in graph.operators] == [0, 1, 2]
    assert (totals.operators, totals.float_operators) == (3, 2)
    assert (totals.parameters, totals.weight_bytes) == (9, 36)
    assert totals.multiply_accumulates == 6
    assert totals.file_share == pytest.approx(sum(item.file_share for item in graph.operators))


def test_one_unknown_count_makes_the_total_unknown() -> None:
    """A sum that leaves out an operator is not reported as the total."""
    nodes = [node("a", ("x", "w")), node("y", ("a", "b"), multiply_accumulates=None)]
    assert graph_of(nodes, {"w": WEIGHTS, "b": BIAS}).totals.multiply_accumulates is None


def test_shared_weights_count_once() -> None:
    """Constants with the same buffer count for the first operator only, and are shown for both."""
    alias = Constant(buffer="w", tensor=tensor("alias", 2, 3), size_bytes=24)
    graph = graph_of(
        [node("a", ("x", "w")), node("y", ("a", "alias"))], {"w": WEIGHTS, "alias": alias}
    )
    assert [operator.parameters for operator in graph.operators] == [6, 0]
    assert graph.totals.weight_bytes == 24
    assert graph.operators[1].weights == alias.tensor


def test_dequantized_weights_belong_to_the_consumer() -> None:
    """Weights behind DequantizeLinear and Transpose belong to the operator that multiplies."""
    stored = tensor("w", 2, 3, dtype="int8", quantized=True)
    constants = {"w": Constant(buffer="w", tensor=stored, size_bytes=6)}
    nodes = [
        node("d", ("w",), operator="DequantizeLinear", multiply_accumulates=0, pass_through=True),
        node("t", ("d",), operator="Transpose", multiply_accumulates=0, pass_through=True),
        node("y", ("x", "t")),
    ]
    operators = graph_of(nodes, constants).operators
    assert [operator.parameters for operator in operators] == [0, 0, 6]
    assert operators[2].weights == stored
    assert [operator.weights for operator in operators[:2]] == [None, None]


@pytest.mark.parametrize(
    ("constant", "parameters"),
    [
        (tensor("axes", 2, dtype="int64"), 0),
        (tensor("limit"), 0),
        (tensor("factor", 3), 3),
        (tensor("factor", 3, dtype="int8", quantized=True), 3),
    ],
    ids=["axes", "scalar", "float", "quantized"],
)
def test_constants_of_other_operators(constant: Tensor, parameters: int) -> None:
    """Beside multiply-accumulates, only float and quantized vectors count as parameters."""
    constants = {"c": Constant(buffer="c", tensor=constant, size_bytes=8)}
    nodes = [node("y", ("x", "c"), operator="Other", multiply_accumulates=0)]
    assert graph_of(nodes, constants).totals.parameters == parameters


@pytest.mark.parametrize(
    ("shape", "count"),
    [((), 1), ((4, 5), 20), ((None, 5), 5), ((2, None), None), (None, None), ((None, None), None)],
)
def test_element_count(shape: tuple[int | None, ...] | None, count: int | None) -> None:
    """An open batch counts as one; other open sizes and unknown shapes have no count."""
    assert element_count(shape) == count


def test_multiply() -> None:
    """The product is unknown if one factor is; without factors it is one."""
    assert (multiply(2, 3, 4), multiply(2, None, 4), multiply()) == (24, None, 1)


@pytest.mark.parametrize(
    ("dtype", "expected"), [("float16", True), ("bfloat16", True), ("int8", False)]
)
def test_is_float(dtype: str, expected: bool) -> None:
    """Floating-point types of any width are float."""
    assert is_float(tensor("x", 1, dtype=dtype)) == expected
