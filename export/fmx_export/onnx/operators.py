"""Tables of ONNX operators: their inputs' roles, and what shape inference lacks for some."""

from __future__ import annotations

from typing import NamedTuple

import onnx

__all__ = [
    "CONTRIB_FUNCTIONS",
    "INPUT_ROLES",
    "INTEGER_PRODUCTS",
    "NO_ARITHMETIC",
    "PASS_THROUGH",
    "InputRoles",
]

NO_ARITHMETIC = (
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "Shape",
    "Size",
)
"""Operators that only convert numbers or read shapes; they do not count as float operators."""

INTEGER_PRODUCTS = ("Gemm", "MatMul")
"""Operators that onnxruntime computes in integers if their inputs are dequantized tensors, whether
or not the result is quantized."""

PASS_THROUGH = (
    "QuantizeLinear",
    "DequantizeLinear",
    "Cast",
    "Identity",
    "Reshape",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)
"""Operators whose output has the values of their first input, in another type or order."""


class InputRoles(NamedTuple):
    """The roles of an operator's inputs, by their positions.

    Attributes:
        values: inputs that hold values; the others are scales, zero points or settings.
        scaled: inputs that are followed by their scale and zero point.
        output_scale: position of the output's scale, which its zero point follows.
    """

    values: tuple[int, ...]
    scaled: tuple[int, ...] = ()
    output_scale: int | None = None


INPUT_ROLES = {
    "QuantizeLinear": InputRoles((0,), output_scale=1),
    "DequantizeLinear": InputRoles((0,), scaled=(0,)),
    "QLinearConv": InputRoles((0, 3, 8), scaled=(0, 3), output_scale=6),
    "QLinearMatMul": InputRoles((0, 3), scaled=(0, 3), output_scale=6),
    "QGemm": InputRoles((0, 3, 6), scaled=(0, 3), output_scale=7),
    "ConvInteger": InputRoles((0, 1)),
    "MatMulInteger": InputRoles((0, 1)),
    "QLinearAdd": InputRoles((0, 3), scaled=(0, 3), output_scale=6),
    "QLinearMul": InputRoles((0, 3), scaled=(0, 3), output_scale=6),
    "QLinearAveragePool": InputRoles((0,), scaled=(0,), output_scale=3),
    "QLinearGlobalAveragePool": InputRoles((0,), scaled=(0,), output_scale=3),
    "QLinearLeakyRelu": InputRoles((0,), scaled=(0,), output_scale=3),
    "QLinearSigmoid": InputRoles((0,), scaled=(0,), output_scale=3),
    "QLinearSoftmax": InputRoles((0,), scaled=(0,), output_scale=3),
    "Resize": InputRoles((0,)),
}
"""Roles by operator type; all inputs of other operators hold values."""

_CONTRIB_HEADER = '<domain: "com.microsoft", opset_import: ["" : 17]> '
_CONTRIB_TEXTS = (
    """QGemm <transA, transB> (a, a_scale, a_zero, b, b_scale, b_zero, c, y_scale, y_zero) => (y) {
        x = DequantizeLinear (a, a_scale, a_zero)
        w = DequantizeLinear (b, b_scale, b_zero)
        product = Gemm <transA: int = @transA, transB: int = @transB> (x, w)
        y = QuantizeLinear (product, y_scale, y_zero)
    }""",
    *(
        f"""{name} (a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero) => (y) {{
            x = DequantizeLinear (a, a_scale, a_zero)
            z = DequantizeLinear (b, b_scale, b_zero)
            both = Add (x, z)
            y = QuantizeLinear (both, y_scale, y_zero)
        }}"""
        for name in ("QLinearAdd", "QLinearMul")
    ),
    *(
        f"""{name} (x, x_scale, x_zero, y_scale, y_zero) => (y) {{
            z = DequantizeLinear (x, x_scale, x_zero)
            y = QuantizeLinear (z, y_scale, y_zero)
        }}"""
        for name in ("QLinearLeakyRelu", "QLinearSigmoid", "QLinearSoftmax")
    ),
)

CONTRIB_FUNCTIONS: dict[str, onnx.FunctionProto] = {
    function.name: function
    for function in (onnx.parser.parse_function(_CONTRIB_HEADER + text) for text in _CONTRIB_TEXTS)
}
"""onnxruntime's own operators as functions of standard operators, by name. With their help onnx
infers shapes through them; they compute the right shapes, not the right values."""
