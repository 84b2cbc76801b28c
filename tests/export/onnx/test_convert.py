"""Keras to ONNX in floating point, asked of the real onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from keras import layers

from fmx_export.onnx.convert import export_onnx, onnx_to_float16, serialize
from fmx_runtime.errors import ExportError
from fmx_runtime.images.preprocess import to_tensor
from fmx_runtime.model_file.metadata import InputSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_export.pipeline.export import Source

    Ask = Callable[[onnx.ModelProto, NDArray[Any]], NDArray[np.float32]]


def normalization() -> Any:
    """Adapted to three colours of their own means and variances."""
    return layers.Normalization(mean=[0.2, 0.4, 0.6], variance=[0.01, 0.04, 0.09])


CORNERS: dict[str, Callable[[], list[Any]]] = {
    "normalization": lambda: [normalization(), layers.Conv2D(4, 3)],
    "grouped": lambda: [layers.Conv2D(6, 3, groups=3, use_bias=False), layers.ReLU()],
    "exact GELU": lambda: [layers.Conv2D(4, 3, strides=2), layers.Activation("gelu")],
    "rescaling": lambda: [layers.Rescaling(2, offset=[-1, 0, 1]), layers.Conv2D(4, 3)],
    "layer normalization": lambda: [layers.Conv2D(4, 3), layers.LayerNormalization()],
    "all of them": lambda: [
        layers.Rescaling(0.5),
        normalization(),
        layers.Conv2D(6, 3, groups=3, activation="gelu"),
        layers.LayerNormalization(),
    ],
}
"""Layers that tf2onnx alone does not convert, or not all of."""


def border(values: Any) -> list[tuple[int, tuple[int, ...]]]:
    """Element type and shape of a graph's inputs or outputs; 0 for a size left open."""
    types = [value.type.tensor_type for value in values]
    return [(kind.elem_type, tuple(d.dim_value for d in kind.shape.dim)) for kind in types]


@pytest.fixture(scope="session")
def halves(onnx_floats: onnx.ModelProto) -> onnx.ModelProto:
    """The case's float16 network."""
    return onnx_to_float16(onnx_floats)


@pytest.fixture(scope="session", params=["float32", "float16"])
def either(
    request: pytest.FixtureRequest, onnx_floats: onnx.ModelProto, halves: onnx.ModelProto
) -> onnx.ModelProto:
    """The network in float32, and in float16."""
    return onnx_floats if request.param == "float32" else halves


def test_the_checker_passes(either: onnx.ModelProto) -> None:
    """ONNX' own checker, shape inference included, finds nothing."""
    onnx.checker.check_model(either, full_check=True)


def test_opset(either: onnx.ModelProto) -> None:
    """Files need operator set 17 and none besides, and carry no notes of the converters."""
    assert [(item.domain, item.version) for item in either.opset_import] == [("", 17)]
    assert not either.metadata_props
    assert not either.graph.doc_string


def test_shapes_are_constants(either: onnx.ModelProto) -> None:
    """One image goes in, so nothing in the graph computes with shapes."""
    operators = {node.op_type for node in either.graph.node}
    assert not operators & {"Shape", "Gather", "Slice"}


def test_floats_go_in_and_come_out(case: Source, either: onnx.ModelProto) -> None:
    """Each takes one float32 image and gives one float32 row."""
    graph = either.graph
    assert border(graph.input) == [(onnx.TensorProto.FLOAT, (1, *case.spec.shape))]
    assert border(graph.output) == [(onnx.TensorProto.FLOAT, (1, len(case.labels)))]


def test_float32_answers_as_keras(
    case: Source,
    onnx_floats: onnx.ModelProto,
    images: NDArray[np.uint8],
    expected: NDArray[np.float32],
    ask_onnx: Ask,
) -> None:
    """On 200 real images no number differs from Keras' by more than 1e-4."""
    found = ask_onnx(onnx_floats, to_tensor(images, case.spec))
    assert len(found) == 200
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_float16_answers_nearly_as_keras(
    case: Source,
    halves: onnx.ModelProto,
    images: NDArray[np.uint8],
    expected: NDArray[np.float32],
    ask_onnx: Ask,
) -> None:
    """On 200 real images no number differs from Keras' by more than 1e-2."""
    found = ask_onnx(halves, to_tensor(images, case.spec))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-2)


def test_float16_computes_in_float16(onnx_floats: onnx.ModelProto, halves: onnx.ModelProto) -> None:
    """No weight is float32, they take half the bytes, and only the ends are cast."""
    types = {item.data_type for item in halves.graph.initializer}
    assert onnx.TensorProto.FLOAT16 in types
    assert types <= {onnx.TensorProto.FLOAT16, onnx.TensorProto.INT64}
    weights = [sum(len(x.raw_data) for x in m.graph.initializer) for m in (onnx_floats, halves)]
    assert weights[1] == pytest.approx(weights[0] / 2, rel=0.02)
    casts = [node for node in halves.graph.node if node.op_type == "Cast"]
    ends = (halves.graph.input[0].name, halves.graph.output[0].name)
    assert [(node.input[0] == ends[0], node.output[0] == ends[1]) for node in casts] == [
        (True, False),
        (False, True),
    ]


def test_the_same_model_gives_the_same_bytes(
    case: Source, onnx_floats: onnx.ModelProto, halves: onnx.ModelProto
) -> None:
    """Converting again, in the same process, gives the very same files."""
    again = export_onnx(case.model, spec=case.spec)
    assert serialize(again) == serialize(onnx_floats)
    assert serialize(onnx_to_float16(again)) == serialize(halves)


@pytest.mark.parametrize("corner", CORNERS)
def test_corners_of_keras(corner: str, ask_onnx: Ask) -> None:
    """These layers convert: the image is the only input, and the answers are Keras'."""
    keras.utils.set_random_seed(0)
    ends = [layers.Flatten(), layers.Dense(5, activation="softmax")]
    model = keras.Sequential([keras.Input((10, 12, 3)), *CORNERS[corner](), *ends])
    spec = InputSpec(
        height=10, width=12, channels=3, scale=1 / 255, offset=0, resize="fit", polarity="any"
    )
    proto = export_onnx(model, spec=spec)
    assert border(proto.graph.input) == [(onnx.TensorProto.FLOAT, (1, 10, 12, 3))]
    assert [(item.domain, item.version) for item in proto.opset_import] == [("", 17)]
    tensors = np.random.default_rng(0).uniform(size=(20, 10, 12, 3)).astype(np.float32)
    expected = model.predict(tensors, verbose=0)
    assert expected.std(axis=0).mean() > 1e-3
    np.testing.assert_allclose(ask_onnx(proto, tensors), expected, rtol=0, atol=1e-5)


def test_constants_are_added() -> None:
    """No constant is subtracted, as onnxruntime would leave that in float; others may be."""
    model = keras.Sequential(
        [keras.Input((10, 12, 3)), normalization(), layers.Flatten(), layers.Dense(2)]
    )
    spec = InputSpec(
        height=10, width=12, channels=3, scale=1 / 255, offset=0, resize="fit", polarity="any"
    )
    operators = [node.op_type for node in export_onnx(model, spec=spec).graph.node]
    assert "Sub" not in operators
    assert "Add" in operators


def test_tensorflow_is_left_as_it_was(source: Source) -> None:
    """Exporting changes for its own time only how TensorFlow runs functions."""
    before = tf.config.functions_run_eagerly()
    export_onnx(source.model, spec=source.spec)
    assert tf.config.functions_run_eagerly() == before


def test_what_cannot_be_converted_is_said(
    unconvertible: Any,
    source: Source,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A network with Python code inside gives one line with the reason, and no litter."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExportError, match=r"cannot convert to float32 ONNX: .*PyFunc") as caught:
        export_onnx(unconvertible, spec=source.spec)
    assert "\n" not in str(caught.value)
    assert not caplog.text
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_halved_is_said() -> None:
    """What is no network gives one line with the reason."""
    with pytest.raises(ExportError, match=r"^cannot convert to float16 ONNX: [^\n]+$"):
        onnx_to_float16(onnx.ModelProto())
