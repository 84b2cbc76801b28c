"""The cells of the tables of ``fmx inspect``."""

from __future__ import annotations

import pytest

from fmx_cli.output.operator_tables import _layer_name, quantization_text, shape_text
from fmx_export.common.graph import QuantizationParameters, Tensor


def tensor(
    shape: tuple[int | None, ...] | None, quantization: QuantizationParameters | None = None
) -> Tensor:
    """Return an int8 tensor."""
    return Tensor(name="it", dtype="int8", shape=shape, quantization=quantization)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 28, 28, 1), "1x28x28x1"),
        ((None, 10), "?x10"),
        ((), "scalar"),
        (None, "unknown"),
    ],
)
def test_shape(shape: tuple[int | None, ...] | None, expected: str) -> None:
    """Unknown sizes and unknown shapes are told apart from scalars."""
    assert shape_text(tensor(shape)) == expected


@pytest.mark.parametrize(
    ("quantization", "expected"),
    [
        (None, ("", "")),
        (QuantizationParameters(scales=(0.25,), zero_points=(-3,)), ("0.25", "-3")),
        (QuantizationParameters(scales=(0.25, 0.5), zero_points=(0, 0)), ("per-channel (2)", "")),
    ],
)
def test_quantization(
    quantization: QuantizationParameters | None, expected: tuple[str, str]
) -> None:
    """A tensor has one scale and zero point, one per channel, or none."""
    assert quantization_text(tensor((1,), quantization)) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model/conv/Relu;model/conv/BiasAdd", "conv/Relu"),
        ("/model/dense", "dense"),
        ("dense", "dense"),
    ],
)
def test_layer_name(name: str, expected: str) -> None:
    """The name of the model, and further names of merged layers, are left out."""
    assert _layer_name(name) == expected
