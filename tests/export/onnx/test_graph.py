"""Graphs of ONNX files: fmx's own, onnxruntime's QOperator format, and hand-written models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from fmx_export.onnx.graph import read_onnx
from fmx_export.tflite.graph import read_tflite
from fmx_runtime.images.preprocess import to_tensor

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_export.source.source_model import SourceModel
    from fmx_runtime.model_file.metadata import InputSpec
    from fmx_training.data.dataset import Splits


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """Calibration images for onnxruntime's quantizer."""

    def __init__(self, images: NDArray[np.uint8], spec: InputSpec) -> None:
        """Preprocess the images."""
        self.inputs = iter([{"image": to_tensor(item[np.newaxis], spec)} for item in images])

    def get_next(self) -> Any:
        """Return the next input, None after the last."""
        return next(self.inputs, None)


def test_qdq_weights_are_those_before_dequantize(exported: Path) -> None:
    """Weights of a QDQ operator have the type and scales of the DequantizeLinear before it."""
    content = (exported / "baseline.int8.onnx").read_bytes()
    values = {
        item.name: onnx.numpy_helper.to_array(item)
        for item in onnx.ModelProto.FromString(content).graph.initializer
    }
    weighted = [item for item in read_onnx(content).operators if item.weights]
    assert [item.type for item in weighted] == ["Conv", "Conv", "Gemm", "Gemm"]
    for operator, channels in zip(weighted, (128, 64, 128, 10), strict=True):
        assert operator.weights is not None
        assert operator.weights.quantization is not None
        name = operator.weights.name.removesuffix("_quantized") + "_scale"
        assert operator.weights.quantization.scales == tuple(values[name].tolist())
        assert operator.weights.quantization.zero_points == (0,) * channels


def test_the_softmax_of_int8_files_is_float(exported: Path) -> None:
    """QDQ operators count as integer operators; only the softmax of the file is float."""
    operators = read_onnx((exported / "baseline.int8.onnx").read_bytes()).operators
    assert [item.type for item in operators if item.is_float] == ["Softmax"]


def test_qoperator_files(exported: Path, source: SourceModel, few: Splits, tmp_path: Path) -> None:
    """Onnxruntime's QLinear operators cost the same as those of the int8 TFLite file."""
    quantize_static(
        exported / "baseline.float32.onnx",
        tmp_path / "operators.onnx",
        Reader(few.train.images[:10], source.spec),
        quant_format=QuantFormat.QOperator,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )
    graph = read_onnx((tmp_path / "operators.onnx").read_bytes())
    kinds = [item.type for item in graph.operators if item.weights]
    assert kinds == ["QLinearConv", "QLinearConv", "QGemm", "QGemm"]
    assert [item.output.shape for item in graph.operators][-3:] == [(1, 10)] * 3
    same = read_tflite((exported / "baseline.int8.tflite").read_bytes())
    assert graph.totals.parameters == same.totals.parameters
    assert graph.totals.multiply_accumulates == same.totals.multiply_accumulates
    assert graph.totals.weight_bytes == same.totals.weight_bytes


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
            id="open batch",
        ),
        pytest.param(
            "(float[1,N,7] x) => (float[1,N,3] y) <float[7,3] w>",
            "y = MatMul (x, w)",
            None,
            21,
            id="open length",
        ),
        pytest.param(
            "(float[7,1] x) => (float[1,3] y) <float[3,7] w>",
            "y = Gemm <transA=1, transB=1> (x, w)",
            21,
            21,
            id="transposed inputs",
        ),
        pytest.param(
            "(float[2,5,7] x, float[2,7,3] w) => (float[2,5,3] y)",
            "y = MatMul (x, w)",
            2 * 5 * 7 * 3,
            0,
            id="no weights",
        ),
        pytest.param(
            "(float[1,7] x) => (float[1,3] y) <float16[7,3] w>",
            "v = Cast <to=1> (w) y = MatMul (x, v)",
            21,
            21,
            id="cast weights",
        ),
        pytest.param(
            "(float[1,3] x) => (float[1,3] y) <float[3] w>",
            "z = Add (x, w) y = PRelu (z, w)",
            0,
            3,
            id="shared",
        ),
        pytest.param(
            "(float[1,3] x) => (float[1,3] y) <float w>", "y = Mul (x, w)", 0, 0, id="scalar"
        ),
    ],
)
def test_hand_written_models(
    tensors: str, operators: str, sums: int | None, parameters: int
) -> None:
    """Groups, transposed layers, open sizes and weights behind a cast are counted."""
    totals = read_onnx(_model(tensors, operators)).totals
    assert (totals.multiply_accumulates, totals.parameters) == (sums, parameters)


def _model(tensors: str, operators: str) -> bytes:
    """Return a model in ONNX's text syntax; its declared tensors become weights of ones."""
    text = f'<ir_version: 8, opset_import: ["" : 17]> it {tensors} {{ {operators} }}'
    model = onnx.parser.parse_model(text)
    for item in model.graph.value_info:
        kind = item.type.tensor_type
        shape = [size.dim_value for size in kind.shape.dim]
        ones = np.ones(shape, onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
        model.graph.initializer.append(onnx.numpy_helper.from_array(ones, item.name))
    content: bytes = model.SerializeToString()
    return content
