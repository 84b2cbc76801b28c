"""Space-to-depth of the first convolution, in graphs as tf2onnx makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from onnx import TensorProto, helper, numpy_helper

from fmx_export.onnx.convert import export_onnx
from fmx_export.onnx.space_to_depth import space_to_depth
from fmx_runtime.images.preprocess import to_tensor
from fmx_runtime.model_file.metadata import InputSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits

    Run = Callable[[onnx.ModelProto, NDArray[Any]], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Stem:
    """The first layers of a network."""

    height: int = 12
    width: int = 16
    channels: int = 1
    kernel: tuple[int, int] = (3, 3)
    same: bool = True
    stride: int = 1
    pool: str = "MaxPool"
    """2x2 pooling behind the convolution; none where empty."""
    activation: str = "Relu"
    """Activation before the pooling; none where empty."""
    bias: bool = True
    dilation: int = 1
    group: int = 1


STEMS = st.builds(
    Stem,
    height=st.integers(7, 12),
    width=st.integers(7, 12),
    channels=st.sampled_from([1, 3]),
    kernel=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    same=st.booleans(),
    stride=st.integers(1, 2),
    pool=st.sampled_from(["MaxPool", ""]),
    activation=st.sampled_from(["Relu", "Clip", ""]),
    bias=st.booleans(),
).filter(lambda stem: stem.same or stem.pool == "" or max(stem.kernel) < 7)
"""Stems whose output is large enough for the pooling."""


def network(stem: Stem) -> onnx.ModelProto:
    """A model of the stem and a 1x1 convolution behind it, with random weights."""
    rng = np.random.default_rng(0)
    shape = (stem.height, stem.width, stem.channels)
    constants: dict[str, NDArray[Any]] = {
        "weights": rng.normal(size=(6, stem.channels // stem.group, *stem.kernel)),
        "head": rng.normal(size=(5, 6, 1, 1)),
    }
    nodes: list[onnx.NodeProto] = []
    last = "image"

    def add(op_type: str, *inputs: str, **attributes: Any) -> None:
        nonlocal last
        name = f"{len(nodes)}_{op_type}"
        nodes.append(helper.make_node(op_type, [last, *inputs], [name], name, **attributes))
        last = name

    if stem.channels == 1:
        constants["shape"] = np.array([1, 1, stem.height, stem.width])
        add("Reshape", "shape")
    else:
        add("Transpose", perm=[0, 3, 1, 2])
    inputs = ["weights"]
    if stem.bias:
        constants["bias"] = rng.normal(size=6)
        inputs.append("bias")
    add(
        "Conv",
        *inputs,
        kernel_shape=stem.kernel,
        strides=[stem.stride] * 2,
        dilations=[stem.dilation] * 2,
        group=stem.group,
        **({"pads": pads(stem)} if stem.same else {}),
    )
    if stem.activation:
        limits = {"zero": 0.0, "six": 6.0} if stem.activation == "Clip" else {}
        constants |= {name: np.array(value) for name, value in limits.items()}
        add(stem.activation, *limits)
    if stem.pool:
        add(stem.pool, kernel_shape=[2, 2], strides=[2, 2])
    add("Conv", "head", kernel_shape=[1, 1])
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, *shape))],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, (1, 5, None, None))],
        [
            numpy_helper.from_array(value if name == "shape" else value.astype(np.float32), name)
            for name, value in constants.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def pads(stem: Stem) -> list[int]:
    """Top, left, bottom and right of TensorFlow's "same" padding: an odd pixel comes last."""
    before, after = [], []
    for size, kernel in zip((stem.height, stem.width), stem.kernel, strict=True):
        reach = stem.dilation * (kernel - 1) + 1
        whole = max((-(-size // stem.stride) - 1) * stem.stride + reach - size, 0)
        before.append(whole // 2)
        after.append(whole - whole // 2)
    return before + after


def transformed(model: onnx.ModelProto) -> tuple[bool, onnx.ModelProto]:
    """Whether the model was changed, and the changed copy."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return space_to_depth(copy.graph), copy


def images(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Two images of noise in -1..1, float32 (2, height, width, channels)."""
    return np.random.default_rng(1).uniform(-1, 1, (2, *shape)).astype(np.float32)


@settings(max_examples=150)
@given(stem=STEMS)
def test_outputs_are_unchanged(stem: Stem, run_onnx: Run) -> None:
    """A model is either not changed at all, or has the same outputs up to rounding."""
    before = network(stem)
    changed, after = transformed(before)
    if not changed:
        assert after.SerializeToString() == before.SerializeToString()
        return
    onnx.checker.check_model(after, full_check=True)
    tensors = images((stem.height, stem.width, stem.channels))
    np.testing.assert_allclose(
        run_onnx(after, tensors), run_onnx(before, tensors), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("size", range(1, 8))
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("stride", "pool"), [(2, ""), (1, "MaxPool")])
def test_both_kinds_are_transformed(size: int, channels: int, stride: int, pool: str) -> None:
    """Padded kernels of every size are transformed, at stride 2 and before 2x2 max pooling."""
    stem = Stem(kernel=(size, size), channels=channels, stride=stride, pool=pool)
    changed, after = transformed(network(stem))
    assert changed
    convolution = next(node for node in after.graph.node if node.op_type == "Conv")
    weights = next(x for x in after.graph.initializer if x.name == convolution.input[1])
    outputs_per_block = 1 if stride == 2 else 4
    assert list(weights.dims[:2]) == [6 * outputs_per_block, 4 * channels]
    used = {name for node in after.graph.node for name in node.input}
    assert {item.name for item in after.graph.initializer} <= used


@pytest.mark.parametrize(
    "stem",
    [
        Stem(dilation=2),
        Stem(dilation=2, stride=2, pool=""),
        Stem(channels=3, group=3),
        Stem(channels=3, group=3, stride=2, pool=""),
        Stem(stride=3, pool=""),
        Stem(pool="AveragePool"),
        Stem(pool=""),
        Stem(height=13),
        Stem(width=15),
        Stem(height=13, stride=2, pool=""),
    ],
)
def test_other_convolutions_are_not_changed(stem: Stem) -> None:
    """Dilated, grouped, with stride 3, before average pooling or none, or of odd size."""
    before = network(stem)
    changed, after = transformed(before)
    assert not changed
    assert after.SerializeToString() == before.SerializeToString()


@pytest.mark.parametrize("tensor", ["image", "0_Reshape", "1_Conv", "2_Relu"])
def test_tensors_with_a_second_consumer_are_kept(tensor: str) -> None:
    """If another node reads a tensor of the stem, the model is not changed."""
    model = network(Stem())
    model.graph.node.append(helper.make_node("Neg", [tensor], ["second"], "second"))
    assert not space_to_depth(model.graph)


@pytest.mark.parametrize("tensor", ["0_Reshape", "1_Conv", "2_Relu"])
def test_output_tensors_are_kept(tensor: str) -> None:
    """If a tensor of the stem is an output too, the model is not changed."""
    model = network(Stem())
    model.graph.output.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None))
    assert not space_to_depth(model.graph)


@pytest.mark.parametrize(
    ("channels", "first"),
    [
        (1, layers.Permute((2, 1, 3))),
        (3, layers.Permute((2, 1, 3))),
        (1, layers.Reshape((16, 12, 1))),
        (3, layers.Reshape((16, 12, 3))),
    ],
)
def test_network_that_transposes_the_image(channels: int, first: Any, run_onnx: Run) -> None:
    """Outputs are unchanged for a network that transposes its image, which tf2onnx merges."""
    model = keras.Sequential(
        [
            keras.Input((12, 16, channels)),
            first,
            layers.Conv2D(4, 3, strides=2, padding="same"),
            layers.Flatten(),
        ]
    )
    spec = InputSpec(
        height=12, width=16, channels=channels, scale=1, offset=0, resize="fit", polarity="any"
    )
    before = export_onnx(model, spec=spec)
    _, after = transformed(before)
    tensors = images((12, 16, channels))
    np.testing.assert_allclose(
        run_onnx(after, tensors), run_onnx(before, tensors), rtol=0, atol=1e-5
    )


def test_baseline_is_transformed(source: SourceModel, few: Splits, run_onnx: Run) -> None:
    """The baseline's first convolution is transformed; real images get the same probabilities."""
    before = export_onnx(source.model, spec=source.spec)
    changed, after = transformed(before)
    assert changed
    onnx.checker.check_model(after, full_check=True)
    tensors = to_tensor(few.test.images[:100], source.spec)
    np.testing.assert_allclose(
        run_onnx(after, tensors), run_onnx(before, tensors), rtol=0, atol=1e-5
    )
