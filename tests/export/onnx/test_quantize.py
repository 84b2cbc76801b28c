"""int8 quantization of ONNX models, run in the real onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

from fmx_export.common.quantization_config import QuantizationConfig
from fmx_export.onnx.convert import export_onnx, serialize
from fmx_export.onnx.quantize import fuse_operators, prepare_onnx, quantize_onnx
from fmx_runtime.errors import ExportError
from fmx_runtime.images.preprocess import to_tensor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_export.common.quantization_config import Target
    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits

    Constants = Callable[[onnx.ModelProto], dict[str, NDArray[Any]]]
    Nodes = Callable[[onnx.ModelProto], list[onnx.NodeProto]]
    Quantize = Callable[..., onnx.ModelProto]
    Run = Callable[[onnx.ModelProto, NDArray[Any]], NDArray[np.float32]]


def consumer_types(model: onnx.ModelProto, tensor: str) -> set[str]:
    """The types of the operators that read a tensor."""
    return {node.op_type for node in model.graph.node if tensor in node.input}


def test_prepared_model_has_the_same_outputs(
    prepared: onnx.ModelProto,
    onnx_floats: onnx.ModelProto,
    case: SourceModel,
    images: NDArray[np.uint8],
    run_onnx: Run,
) -> None:
    """Space-to-depth and fusing change no output, and leave the original model unchanged."""
    before = onnx_floats.SerializeToString()
    tensors = to_tensor(images, case.spec)
    np.testing.assert_allclose(
        run_onnx(prepare_onnx(onnx_floats), tensors),
        run_onnx(onnx_floats, tensors),
        rtol=0,
        atol=1e-4,
    )
    assert onnx_floats.SerializeToString() == before
    assert {node.op_type for node in prepared.graph.node}.isdisjoint({"BatchNormalization", "Mul"})


def test_model_without_its_weights_cannot_be_fused(
    source: SourceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model whose weights are in a missing file is an error of one line, and leaves no files."""
    monkeypatch.chdir(tmp_path)
    model = export_onnx(source.model, spec=source.spec)
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="missing.bin")
    with pytest.raises(ExportError, match=r"^cannot prepare the model for int8 ONNX: [^\n]+$"):
        fuse_operators(model)
    assert not list(tmp_path.iterdir())


def test_weights_are_int8_per_channel(
    int8_model: onnx.ModelProto, constants: Constants, weighted_nodes: Nodes
) -> None:
    """Each weighted operator has int8 weights, zero point 0, a scale for each output channel."""
    values = constants(int8_model)
    nodes = {node.output[0]: node for node in int8_model.graph.node}
    assert weighted_nodes(int8_model)
    for node in weighted_nodes(int8_model):
        weights = nodes[node.input[1]]
        assert weights.op_type == "DequantizeLinear"
        quantized, scales, zero_points = (values[name] for name in weights.input)
        axis = next(attribute.i for attribute in weights.attribute if attribute.name == "axis")
        assert axis == (0 if node.op_type == "Conv" else 1)
        assert quantized.dtype == np.int8
        assert len(scales) == quantized.shape[axis]
        assert len(set(scales.tolist())) > 1
        assert not zero_points.any()


@pytest.mark.parametrize(("target", "largest"), [("x86-64", 64), ("arm64", 127)])
def test_weight_bits_depend_on_the_target(  # noqa: PLR0917 (fixtures)
    target: Target,
    largest: int,
    source: SourceModel,
    few: Splits,
    quantize: Quantize,
    constants: Constants,
) -> None:
    """For x86-64 weights have 7 bits, so that sums of two products fit 16 bits; for Arm 8."""
    prepared = prepare_onnx(export_onnx(source.model, spec=source.spec))
    model = quantize(prepared, source.spec, few.train.images[:5], target=target)
    weights = [x for x in constants(model).values() if x.dtype == np.int8 and x.ndim > 1]
    assert len(weights) == 4
    assert {int(np.abs(item.astype(int)).max()) for item in weights} == {largest}


def test_activations_are_uint8(int8_model: onnx.ModelProto, constants: Constants) -> None:
    """Activations are quantized to uint8, because onnxruntime is slow with int8 ones."""
    values = constants(int8_model)
    nodes = [node for node in int8_model.graph.node if node.op_type == "QuantizeLinear"]
    assert nodes
    assert {values[node.input[2]].dtype for node in nodes} == {np.dtype(np.uint8)}


def test_model_is_qdq(int8_model: onnx.ModelProto) -> None:
    """The operators are float ones between QuantizeLinear and DequantizeLinear."""
    operators = {node.op_type for node in int8_model.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators
    assert not {name for name in operators if name.startswith("QLinear") or "Integer" in name}


def test_output_is_close_to_keras(
    int8_model: onnx.ModelProto,
    images: NDArray[np.uint8],
    expected: NDArray[np.float32],
    run_onnx: Run,
    assert_close: Callable[..., None],
) -> None:
    """The outputs for 200 real images are close to Keras'."""
    assert_close(run_onnx(int8_model, images), expected)


def test_quantization_is_reproducible(
    case: SourceModel,
    onnx_floats: onnx.ModelProto,
    sample: NDArray[np.uint8],
    int8_model: onnx.ModelProto,
    quantize: Quantize,
) -> None:
    """A second quantization in the same process gives the same bytes."""
    again = quantize(prepare_onnx(onnx_floats), case.spec, sample)
    assert serialize(again) == serialize(int8_model)


@pytest.mark.parametrize("position", [0, -1])
def test_excluded_layers_stay_float(  # noqa: PLR0917 (fixtures)
    position: int,
    case: SourceModel,
    prepared: onnx.ModelProto,
    sample: NDArray[np.uint8],
    images: NDArray[np.uint8],
    expected: NDArray[np.float32],
    run_onnx: Run,
    quantize: Quantize,
    constants: Constants,
    weighted_nodes: Nodes,
    assert_close: Callable[..., None],
) -> None:
    """The weights of an excluded first or last layer are float32, and its output is not rounded.

    The other layers are int8, the input is uint8, and the outputs are close to Keras'.
    """
    config = QuantizationConfig(excluded_layers=(weighted_nodes(prepared)[position].name,))
    model = quantize(prepared, case.spec, sample, config)
    excluded = weighted_nodes(model)[position]
    assert constants(model)[excluded.input[1]].dtype == np.float32
    assert "QuantizeLinear" not in consumer_types(model, excluded.output[0])
    producers = {name: node.op_type for node in model.graph.node for name in node.output}
    others = [node for node in weighted_nodes(model) if node != excluded]
    assert {producers[node.input[1]] for node in others} == {"DequantizeLinear"}
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert_close(run_onnx(model, images), expected)


def test_layers_are_quantized_unless_excluded(
    int8_model: onnx.ModelProto, weighted_nodes: Nodes
) -> None:
    """Without excluded layers, the first layer's output is quantized, with its activation."""
    first = weighted_nodes(int8_model)[0]
    assert consumer_types(int8_model, first.output[0]) == {"QuantizeLinear"}


def test_ranges_of_another_network(
    source: SourceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranges that lack the network's tensors are an error of one line, and leave no files."""
    monkeypatch.chdir(tmp_path)
    prepared = prepare_onnx(export_onnx(source.model, spec=source.spec))
    with pytest.raises(ExportError, match=r"^cannot quantize to int8 ONNX: [^\n]+$"):
        quantize_onnx(
            prepared, spec=source.spec, ranges={}, config=QuantizationConfig(), target="arm64"
        )
    assert not list(tmp_path.iterdir())
