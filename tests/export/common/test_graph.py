"""The graph's data types."""

from __future__ import annotations

import math

import pytest

from fmx_export.common.graph import Graph, Operator, QuantizationParameters, Tensor, Totals
from fmx_runtime.errors import ModelFileError
from fmx_runtime.support import json_codec


@pytest.mark.parametrize("scale", [math.nan, math.inf])
def test_scales_must_be_finite(scale: float) -> None:
    """A scale that is NaN or infinite is reported as damage."""
    with pytest.raises(ModelFileError, match="NaN or infinite"):
        QuantizationParameters(scales=(1.0, scale), zero_points=(0, 0))


def test_a_graph_survives_json() -> None:
    """``fmx inspect --json`` loses nothing: open sizes, unknown shapes and missing values too."""
    weights = Tensor(
        name="w",
        shape=(3, 2),
        dtype="int8",
        quantization=QuantizationParameters(scales=(0.5, 0.25, 1.0), zero_points=(0, 0, 0)),
    )
    output = Tensor(name="y", shape=None, dtype="unknown", quantization=None)
    operator = Operator(
        index=0,
        type="FULLY_CONNECTED",
        name="y",
        output=output,
        weights=weights,
        parameters=6,
        multiply_accumulates=None,
        weight_bytes=6,
        file_share=0.1,
        is_float=False,
    )
    graph = Graph(
        format="tflite",
        inputs=(Tensor(name="x", shape=(None, 2), dtype="int8", quantization=None),),
        outputs=(output,),
        operators=(operator,),
        totals=Totals(
            operators=1,
            parameters=6,
            multiply_accumulates=None,
            weight_bytes=6,
            file_share=0.1,
            float_operators=0,
        ),
    )
    assert json_codec.decode(Graph, json_codec.parse(json_codec.encode(graph))) == graph
