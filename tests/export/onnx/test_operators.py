"""The tables of ONNX operators, checked against ONNX and onnxruntime."""

from __future__ import annotations

import onnx
import onnxruntime.capi.onnxruntime_pybind11_state as ort
import pytest

from fmx_export.onnx.operators import (
    CONTRIB_FUNCTIONS,
    INPUT_ROLES,
    INTEGER_PRODUCTS,
    NO_ARITHMETIC,
    PASS_THROUGH,
)

ORT_SCHEMAS = {schema.name: schema for schema in ort.get_all_operator_schema()}
"""Operators of onnxruntime, its own ones included; the input names tell their roles."""


@pytest.mark.parametrize("name", sorted(CONTRIB_FUNCTIONS))
def test_functions_have_the_operators_inputs(name: str) -> None:
    """Each function is one of onnxruntime's own operators, with as many inputs and outputs."""
    schema, function = ORT_SCHEMAS[name], CONTRIB_FUNCTIONS[name]
    assert schema.domain == function.domain == "com.microsoft"
    assert len(function.input) == len(schema.inputs)
    assert len(function.output) == len(schema.outputs)


@pytest.mark.parametrize("name", sorted(INPUT_ROLES))
def test_roles_agree_with_the_schemas(name: str) -> None:
    """A scale stands where the operator's schema has one, and no value does."""
    roles = INPUT_ROLES[name]
    names = [item.name.lower() for item in ORT_SCHEMAS[name].inputs]
    assert all("scale" in names[position + 1] for position in roles.scaled)
    assert all("zero" in names[position + 2] for position in roles.scaled)
    if roles.output_scale is not None:
        assert "scale" in names[roles.output_scale]
        assert "zero" in names[roles.output_scale + 1]
    assert not any("scale" in names[at] or "zero" in names[at] for at in roles.values)


def test_standard_operators_exist() -> None:
    """The other tables name operators of ONNX itself."""
    for name in {*NO_ARITHMETIC, *PASS_THROUGH, *INTEGER_PRODUCTS}:
        assert onnx.defs.has(name), name
