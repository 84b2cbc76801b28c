"""What is read off a model file, against what Keras knows of the network that it was made from."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given, settings
from hypothesis import strategies as st
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from fmx_export.common.graph import Graph, QuantizationParameters
from fmx_export.common.quantization_config import QuantizationConfig
from fmx_export.onnx.convert import export_onnx, serialize
from fmx_export.onnx.quantize import calibrate_onnx, fuse, quantize_onnx, take_raw_pixels
from fmx_export.pipeline.read_graph import read_graph
from fmx_export.tflite.convert import export_tflite
from fmx_export.tflite.quantizer import TFLiteQuantizer
from fmx_runtime.errors import ModelFileError
from fmx_runtime.images.preprocess import to_tensor
from fmx_runtime.support import json_codec

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_export.source.source_model import SourceModel
    from fmx_runtime.model_file.metadata import InputSpec
    from fmx_training.data.dataset import Splits

FILES = [
    f"baseline.{precision}.{form}"
    for precision in ("float32", "int8")
    for form in ("tflite", "onnx")
]
FORMATS = ("tflite", "onnx")


def floats(form: str, model: Any, spec: InputSpec) -> bytes:
    """The float file's model."""
    if form == "tflite":
        return export_tflite(model, spec=spec)
    return serialize(export_onnx(model, spec=spec))


def integers(form: str, model: Any, spec: InputSpec, sample: NDArray[np.uint8]) -> bytes:
    """The int8 file's model, the first convolution as Keras has it."""
    config = QuantizationConfig()
    if form == "tflite":
        return TFLiteQuantizer(model, floats(form, model, spec), spec, sample).quantize(config)
    fused = fuse(export_onnx(model, spec=spec))
    ranges = calibrate_onnx(fused, spec=spec, calibration=sample, config=config)
    quantized = quantize_onnx(fused, spec=spec, ranges=ranges, config=config, target="arm64")
    return serialize(take_raw_pixels(quantized, spec))


class Sample(CalibrationDataReader):  # type: ignore[misc]
    """Images, as onnxruntime's quantizer asks for them."""

    def __init__(self, images: NDArray[np.uint8], spec: InputSpec) -> None:
        """Take the images and what they mean."""
        self.inputs = iter([{"image": to_tensor(item[np.newaxis], spec)} for item in images])

    def get_next(self) -> Any:
        """The next input, None after the last."""
        return next(self.inputs, None)


@pytest.fixture(scope="session")
def distinct(case: SourceModel) -> Any:
    """The case's network with weights that all differ: converters store equal ones only once."""
    model = keras.models.clone_model(case.model)
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 1, weight.shape) for weight in model.get_weights()])
    return model


def _weighted(model: Any) -> list[Any]:
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
    return [layer for layer in model.layers if isinstance(layer, kinds)]


def _parameters(model: Any) -> int:
    """Kernels and biases, one for each output channel; batch norm is fuse_batch_norm into them."""
    return sum(
        layer.kernel.shape.num_elements() + layer.output.shape[-1] for layer in _weighted(model)
    )


def _multiply_accumulates(model: Any) -> int:
    """Each value of a kernel is used once at each position of the output."""
    return sum(
        math.prod(layer.output.shape[1:-1]) * layer.kernel.shape.num_elements()
        for layer in _weighted(model)
    )


@pytest.mark.parametrize("form", FORMATS)
def test_float_files_cost_what_keras_counts(form: str, case: SourceModel, distinct: Any) -> None:
    """Of every kind of layer, parameters and multiply-accumulates are those of the Keras layers."""
    graph = read_graph(floats(form, distinct, case.spec))
    totals = graph.totals
    # tf2onnx leaves batch norm behind a depthwise convolution as it is: a factor and a summand
    apart = [item.parameters for item in graph.operators if item.type in {"Mul", "Add"}]
    assert sum(apart) == (16 if (form, case.name) == ("onnx", "colour") else 0)
    assert totals.parameters - sum(apart) == _parameters(distinct)
    assert totals.multiply_accumulates == _multiply_accumulates(distinct)
    assert totals.weight_bytes == 4 * totals.parameters
    assert totals.float_operators == totals.operators


@pytest.mark.parametrize("form", FORMATS)
def test_int8_files_cost_what_keras_counts(
    form: str, case: SourceModel, distinct: Any, sample: NDArray[np.uint8]
) -> None:
    """Quantized, with or without operators that dequantize before, weights count the same."""
    graph = read_graph(integers(form, distinct, case.spec, sample))
    biases = sum(layer.output.shape[-1] for layer in _weighted(distinct))
    assert graph.totals.parameters == _parameters(distinct)
    assert graph.totals.multiply_accumulates == _multiply_accumulates(distinct)
    assert graph.totals.weight_bytes == graph.totals.parameters + 3 * biases  # int8, and int32
    assert all(item.weights.dtype == "int8" for item in graph.operators if item.weights)


@pytest.mark.parametrize("file", FILES)
def test_the_real_files(file: str, exported: Path, source: SourceModel) -> None:
    """What was exported and carries metadata has the trained network's parameters, in its layers."""
    content = (exported / file).read_bytes()
    graph = read_graph(content)
    # 32 kernels of 3x3 that int8 ONNX has on blocks of pixels: 4 x 32 of 2x2x4, at 13x13 places
    in_blocks = file == "baseline.int8.onnx"
    more = 128 * (16 + 1) - 32 * (9 + 1) if in_blocks else 0
    assert graph.totals.parameters == source.model.count_params() + more
    costs = [item.multiply_accumulates for item in graph.operators if item.multiply_accumulates]
    first = 13 * 13 * 128 * 16 if in_blocks else 26 * 26 * 32 * 9
    assert costs == [first, 11 * 11 * 64 * 9 * 32, 1600 * 128, 128 * 10]
    assert sum(item.weight_bytes for item in graph.operators) < len(content)
    assert 0.9 < graph.totals.file_share < 1
    assert [item.index for item in graph.operators] == list(range(graph.totals.operators))
    assert json_codec.decode(Graph, json_codec.parse(json_codec.encode(graph))) == graph


def test_integers_as_the_interpreter_sees_them(exported: Path) -> None:
    """Shapes, types, scales and zero points are those that the interpreter states."""
    content = (exported / "baseline.int8.tflite").read_bytes()
    interpreter = Interpreter(model_content=content)
    stated = {item["name"]: item for item in interpreter.get_tensor_details()}
    graph = read_graph(content)
    tensors = [*graph.inputs, *graph.outputs, *(item.output for item in graph.operators)]
    tensors += [item.weights for item in graph.operators if item.weights]
    assert len(tensors) == 16
    for tensor in tensors:
        detail = stated[tensor.name]
        assert tensor.shape == tuple(detail["shape"])
        assert tensor.dtype == np.dtype(detail["dtype"]).name
        assert tensor.quantization is not None
        assert tensor.quantization.scales == tuple(
            detail["quantization_parameters"]["scales"].tolist()
        )
        assert tensor.quantization.zero_points == tuple(
            detail["quantization_parameters"]["zero_points"].tolist()
        )


def test_scales_in_front_of_an_onnx_operator(exported: Path) -> None:
    """The weights of a QDQ operator have the type and scales of the DequantizeLinear before it."""
    content = (exported / "baseline.int8.onnx").read_bytes()
    values = {
        item.name: onnx.numpy_helper.to_array(item)
        for item in onnx.ModelProto.FromString(content).graph.initializer
    }
    weighted = [item for item in read_graph(content).operators if item.weights]
    assert [item.type for item in weighted] == ["Conv", "Conv", "Gemm", "Gemm"]
    for operator, channels in zip(weighted, (128, 64, 128, 10), strict=True):
        assert operator.weights is not None
        assert operator.weights.quantization is not None
        name = operator.weights.name.removesuffix("_quantized") + "_scale"
        assert operator.weights.quantization.scales == tuple(values[name].tolist())
        assert operator.weights.quantization.zero_points == (0,) * channels


def test_what_is_left_in_float(exported: Path) -> None:
    """The whole TFLite file computes with integers; the ONNX file keeps its softmax in float."""
    left = {
        form: [
            item.type
            for item in read_graph((exported / f"baseline.int8.{form}").read_bytes()).operators
            if item.is_float
        ]
        for form in FORMATS
    }
    assert left == {"tflite": [], "onnx": ["Softmax"]}


def test_operators_that_are_quantized_themselves(
    exported: Path, source: SourceModel, few: Splits, tmp_path: Path
) -> None:
    """Operators that only onnxruntime knows cost what their twins cost."""
    quantize_static(
        exported / "baseline.float32.onnx",
        tmp_path / "operators.onnx",
        Sample(few.train.images[:10], source.spec),
        quant_format=QuantFormat.QOperator,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )
    graph = read_graph((tmp_path / "operators.onnx").read_bytes())
    kinds = [item.type for item in graph.operators if item.weights]
    assert kinds == ["QLinearConv", "QLinearConv", "QGemm", "QGemm"]
    assert [item.output.shape for item in graph.operators][-3:] == [(1, 10)] * 3
    twin = read_graph((exported / "baseline.int8.tflite").read_bytes())
    assert graph.totals.parameters == twin.totals.parameters
    assert graph.totals.multiply_accumulates == twin.totals.multiply_accumulates
    assert graph.totals.weight_bytes == twin.totals.weight_bytes


@pytest.mark.parametrize(
    ("tensors", "operators", "sums", "parameters"),
    [
        pytest.param(
            "(float[1,4,8,8] x) => (float[1,6,6,6] y) <float[6,2,3,3] w>",
            "y = Conv <group=2> (x, w)",
            6 * 36 * 2 * 9,
            108,
            id="groups",
        ),
        pytest.param(
            "(float[1,4,8,8] x) => (float[1,5,10,10] y) <float[4,5,3,3] w>",
            "y = ConvTranspose (x, w)",
            4 * 64 * 5 * 9,
            180,
            id="transposed",
        ),
        pytest.param(
            "(float[N,7] x) => (float[N,3] y) <float[7,3] w>",
            "y = MatMul (x, w)",
            21,
            21,
            id="any number of images",
        ),
        pytest.param(
            "(float[1,N,7] x) => (float[1,N,3] y) <float[7,3] w>",
            "y = MatMul (x, w)",
            None,
            21,
            id="any length",
        ),
        pytest.param(
            "(float[7,1] x) => (float[1,3] y) <float[3,7] w>",
            "y = Gemm <transA=1, transB=1> (x, w)",
            21,
            21,
            id="turned",
        ),
        pytest.param(
            "(float[2,5,7] x, float[2,7,3] w) => (float[2,5,3] y)",
            "y = MatMul (x, w)",
            2 * 5 * 7 * 3,
            0,
            id="two inputs",
        ),
        pytest.param(
            "(float[1,7] x) => (float[1,3] y) <float16[7,3] w>",
            "v = Cast <to=1> (w) y = MatMul (x, v)",
            21,
            21,
            id="converted",
        ),
        pytest.param(
            "(float[1,3] x) => (float[1,3] y) <float[3] w>",
            "z = Add (x, w) y = PRelu (z, w)",
            0,
            3,
            id="shared",
        ),
        pytest.param(
            "(float[1,3] x) => (float[1,3] y) <float w>", "y = Mul (x, w)", 0, 0, id="one number"
        ),
    ],
)
def test_operators_of_other_tools(
    tensors: str, operators: str, sums: int | None, parameters: int
) -> None:
    """Groups, transposed layers, open sizes and weights that are converted first are counted."""
    totals = read_graph(_onnx(tensors, operators)).totals
    assert (totals.multiply_accumulates, totals.parameters) == (sums, parameters)


def _onnx(tensors: str, operators: str) -> bytes:
    """A model in ONNX's own notation, whose declared tensors are weights of ones."""
    text = f'<ir_version: 8, opset_import: ["" : 17]> it {tensors} {{ {operators} }}'
    model = onnx.parser.parse_model(text)
    for item in model.graph.value_info:
        kind = item.type.tensor_type
        shape = [size.dim_value for size in kind.shape.dim]
        ones = np.ones(shape, onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
        model.graph.initializer.append(onnx.numpy_helper.from_array(ones, item.name))
    content: bytes = model.SerializeToString()
    return content


@pytest.mark.parametrize(
    ("types", "optimizations", "dense"),
    [
        ([], [], "float32"),
        ([tf.float16], [tf.lite.Optimize.DEFAULT], "float16"),
        ([], [tf.lite.Optimize.DEFAULT], "int8"),
    ],
    ids=["float32", "float16", "int8 weights"],
)
def test_tflite_files_of_other_tools(
    types: list[Any], optimizations: list[Any], dense: str, odd_network: Any
) -> None:
    """Open batches, groups, transposed layers and weights of few bits are counted, as float."""
    converter = tf.lite.TFLiteConverter.from_keras_model(odd_network)
    converter.optimizations = optimizations
    converter.target_spec.supported_types = types
    graph = read_graph(converter.convert())
    assert graph.inputs[0].shape == (None, 8, 8, 1)
    assert graph.totals.parameters == odd_network.count_params()
    costs = {item.type: item for item in graph.operators if item.multiply_accumulates}
    assert {kind: item.multiply_accumulates for kind, item in costs.items()} == {
        "TRANSPOSE_CONV": 8 * 8 * 9 * 4,
        "CONV_2D": 14 * 14 * 6 * 9 * 2,
        "FULLY_CONNECTED": 1176 * 3,
    }
    weights = costs["FULLY_CONNECTED"].weights
    assert weights is not None
    assert weights.dtype == dense
    kinds = {item.type for item in graph.operators if item.is_float}
    assert kinds == {*costs, "RESHAPE", "SOFTMAX"}


@pytest.fixture(scope="session")
def odd_network() -> Any:
    """A transposed convolution and one in two groups, with weights that all differ."""
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2DTranspose(4, 3, strides=2, padding="same"),
            keras.layers.Conv2D(6, 3, groups=2),
            keras.layers.Flatten(),
            keras.layers.Dense(3, "softmax"),
        ]
    )
    rng = np.random.default_rng(0)
    network.set_weights([rng.uniform(0.1, 1, weight.shape) for weight in network.get_weights()])
    return network


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + bytes(100), bytes(1000)])
def test_what_is_no_model(content: bytes) -> None:
    """Other files are no models."""
    with pytest.raises(ModelFileError, match=r"^neither a TFLite nor an ONNX model$"):
        read_graph(content)


@pytest.mark.parametrize("scale", [math.nan, math.inf])
def test_scales_are_numbers(scale: float) -> None:
    """A scale that nothing can be computed with is damage."""
    with pytest.raises(ModelFileError, match="NaN or infinite"):
        QuantizationParameters(scales=(1.0, scale), zero_points=(0, 0))


@pytest.mark.parametrize("file", FILES)
def test_damaged_files(file: str, exported: Path) -> None:
    """Whatever bytes are flipped or cut off, there is a graph or one line that says why not."""
    whole = (exported / file).read_bytes()
    # the structure lies at the ends, between them are weights
    places = st.integers(0, 4000) | st.integers(len(whole) - 30_000, len(whole) - 1)
    flips = st.dictionaries(places, st.integers(0, 255), max_size=8)

    @settings(max_examples=60, deadline=None)
    @given(flips, st.just(len(whole)) | st.integers(0, len(whole)))
    def check(flips: dict[int, int], end: int) -> None:
        content = bytearray(whole)
        for place, value in flips.items():
            content[place] = value
        said = _read_or_refuse(bytes(content[:end]))
        assert said
        assert "\n" not in said

    check()


def _read_or_refuse(content: bytes) -> str:
    """The graph as JSON, or why there is none."""
    try:
        return json_codec.encode(read_graph(content))
    except ModelFileError as error:
        return str(error)


def test_tensorflow_is_not_needed(exported: Path) -> None:
    """Both formats are read without TensorFlow, Keras or an interpreter being imported."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from fmx_export.common.graph import read_graph\n"
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
