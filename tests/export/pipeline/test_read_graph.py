"""Reading the graph of a model file of either format."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmx_export.common.graph import Graph
from fmx_export.common.quantization_config import QuantizationConfig
from fmx_export.onnx.calibrate import calibrate_onnx
from fmx_export.onnx.convert import export_onnx, serialize
from fmx_export.onnx.quantize import fuse_operators, quantize_onnx
from fmx_export.onnx.uint8_input import to_uint8_input
from fmx_export.pipeline.read_graph import read_graph
from fmx_export.tflite.convert import export_tflite
from fmx_export.tflite.quantizer import TFLiteQuantizer
from fmx_runtime.errors import ModelFileError
from fmx_runtime.support import json_codec

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_export.source.source_model import SourceModel
    from fmx_runtime.model_file.metadata import InputSpec

FILES = [
    f"baseline.{precision}.{form}"
    for precision in ("float32", "int8")
    for form in ("tflite", "onnx")
]
FORMATS = ("tflite", "onnx")


def floats(form: str, model: Any, spec: InputSpec) -> bytes:
    """Return the float32 model."""
    if form == "tflite":
        return export_tflite(model, spec=spec)
    return serialize(export_onnx(model, spec=spec))


def integers(form: str, model: Any, spec: InputSpec, sample: NDArray[np.uint8]) -> bytes:
    """Return the int8 model; in ONNX without the space-to-depth layout of the first layer."""
    config = QuantizationConfig()
    if form == "tflite":
        return TFLiteQuantizer(model, floats(form, model, spec), spec, sample).quantize(config)
    fused = fuse_operators(export_onnx(model, spec=spec))
    ranges = calibrate_onnx(fused, spec=spec, calibration=sample, config=config)
    quantized = quantize_onnx(fused, spec=spec, ranges=ranges, config=config, target="arm64")
    return serialize(to_uint8_input(quantized, spec))


@pytest.fixture(scope="session")
def distinct(case: SourceModel) -> Any:
    """The case's network with weights that all differ, as converters store equal tensors once."""
    model = keras.models.clone_model(case.model)
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 1, weight.shape) for weight in model.get_weights()])
    return model


def _weighted(model: Any) -> list[Any]:
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
    return [layer for layer in model.layers if isinstance(layer, kinds)]


def _parameters(model: Any) -> int:
    """Count kernels and biases, one bias per channel; batch normalization is fused into them."""
    return sum(
        layer.kernel.shape.num_elements() + layer.output.shape[-1] for layer in _weighted(model)
    )


def _multiply_accumulates(model: Any) -> int:
    """Each value of a kernel is multiplied once at each position of the output."""
    return sum(
        math.prod(layer.output.shape[1:-1]) * layer.kernel.shape.num_elements()
        for layer in _weighted(model)
    )


@pytest.mark.parametrize("form", FORMATS)
def test_costs_of_float_files_are_those_of_keras(
    form: str, case: SourceModel, distinct: Any
) -> None:
    """For all kinds of layers, parameters and multiply-accumulates equal those of Keras."""
    graph = read_graph(floats(form, distinct, case.spec))
    totals = graph.totals
    # tf2onnx does not fuse batch normalization into a depthwise convolution: a Mul and an Add
    unfused = [item.parameters for item in graph.operators if item.type in {"Mul", "Add"}]
    assert sum(unfused) == (16 if (form, case.name) == ("onnx", "color") else 0)
    assert totals.parameters - sum(unfused) == _parameters(distinct)
    assert totals.multiply_accumulates == _multiply_accumulates(distinct)
    assert totals.weight_bytes == 4 * totals.parameters
    assert totals.float_operators == totals.operators


@pytest.mark.parametrize("form", FORMATS)
def test_costs_of_int8_files_are_those_of_keras(
    form: str, case: SourceModel, distinct: Any, sample: NDArray[np.uint8]
) -> None:
    """Quantized weights count the same, also behind a DequantizeLinear."""
    graph = read_graph(integers(form, distinct, case.spec, sample))
    biases = sum(layer.output.shape[-1] for layer in _weighted(distinct))
    assert graph.totals.parameters == _parameters(distinct)
    assert graph.totals.multiply_accumulates == _multiply_accumulates(distinct)
    assert graph.totals.weight_bytes == graph.totals.parameters + 3 * biases  # int8, and int32
    assert all(item.weights.dtype == "int8" for item in graph.operators if item.weights)


@pytest.mark.parametrize("file", FILES)
def test_exported_files(file: str, exported: Path, source: SourceModel) -> None:
    """Files with metadata have the trained network's parameters in its layers."""
    content = (exported / file).read_bytes()
    graph = read_graph(content)
    # space-to-depth: 32 kernels of 3x3 become 4 x 32 of 2x2x4, at 13x13 positions
    space_to_depth = file == "baseline.int8.onnx"
    more = 128 * (16 + 1) - 32 * (9 + 1) if space_to_depth else 0
    assert graph.totals.parameters == source.model.count_params() + more
    costs = [item.multiply_accumulates for item in graph.operators if item.multiply_accumulates]
    first = 13 * 13 * 128 * 16 if space_to_depth else 26 * 26 * 32 * 9
    assert costs == [first, 11 * 11 * 64 * 9 * 32, 1600 * 128, 128 * 10]
    assert sum(item.weight_bytes for item in graph.operators) < len(content)
    assert 0.9 < graph.totals.file_share < 1
    assert [item.index for item in graph.operators] == list(range(graph.totals.operators))
    assert json_codec.decode(Graph, json_codec.parse(json_codec.encode(graph))) == graph


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + bytes(100), bytes(1000)])
def test_other_files_are_refused(content: bytes) -> None:
    """Files that are neither TFLite nor ONNX are refused."""
    with pytest.raises(ModelFileError, match=r"^neither a TFLite nor an ONNX model$"):
        read_graph(content)


@pytest.mark.parametrize("file", FILES)
def test_damaged_files(file: str, exported: Path) -> None:
    """Whatever bytes are flipped or cut off, the result is a graph or a one-line error."""
    whole = (exported / file).read_bytes()
    # the structure is stored at both ends of a file, the weights between them
    positions = st.integers(0, 4000) | st.integers(len(whole) - 30_000, len(whole) - 1)
    flips = st.dictionaries(positions, st.integers(0, 255), max_size=8)

    @settings(max_examples=60)
    @given(flips, st.just(len(whole)) | st.integers(0, len(whole)))
    def check(flips: dict[int, int], end: int) -> None:
        content = bytearray(whole)
        for position, value in flips.items():
            content[position] = value
        result = _read_or_refuse(bytes(content[:end]))
        assert result
        assert "\n" not in result

    check()


def _read_or_refuse(content: bytes) -> str:
    """Return the graph as JSON, or the error message."""
    try:
        return json_codec.encode(read_graph(content))
    except ModelFileError as error:
        return str(error)


def test_reading_imports_no_tensorflow(exported: Path) -> None:
    """Both formats are read without importing TensorFlow, Keras or an interpreter."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from fmx_export.pipeline.read_graph import read_graph\n"
        "for path in sys.argv[1:]:\n"
        "    read_graph(Path(path).read_bytes())\n"
        "heavy = {'tensorflow', 'keras', 'onnxruntime', 'ai_edge_litert.interpreter', 'tf2onnx'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    files = [exported / file for file in FILES]
    done = subprocess.run(
        [sys.executable, "-c", code, *files], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
