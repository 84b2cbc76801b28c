"""Conversion of Keras models to float32 and float16 ONNX, run in the real onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from keras import layers

from fmx_export.onnx.convert import export_onnx, serialize, to_float16
from fmx_runtime.errors import ExportError
from fmx_runtime.images.preprocess import to_tensor
from fmx_runtime.model_file.metadata import InputSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_export.source.source_model import SourceModel

    Run = Callable[[onnx.ModelProto, NDArray[Any]], NDArray[np.float32]]


def normalization() -> Any:
    """A Normalization layer with another mean and variance for each channel."""
    return layers.Normalization(mean=[0.2, 0.4, 0.6], variance=[0.01, 0.04, 0.09])


HARD_LAYERS: dict[str, Callable[[], list[Any]]] = {
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
"""Layers that tf2onnx alone does not convert, or not completely."""


def types_and_shapes(values: Any) -> list[tuple[int, tuple[int, ...]]]:
    """Element type and shape of a graph's inputs or outputs; 0 for an open size."""
    types = [value.type.tensor_type for value in values]
    return [(kind.elem_type, tuple(d.dim_value for d in kind.shape.dim)) for kind in types]


@pytest.fixture(scope="session")
def float16_model(onnx_floats: onnx.ModelProto) -> onnx.ModelProto:
    """The case's float16 model."""
    return to_float16(onnx_floats)


@pytest.fixture(scope="session", params=["float32", "float16"])
def float_model(
    request: pytest.FixtureRequest, onnx_floats: onnx.ModelProto, float16_model: onnx.ModelProto
) -> onnx.ModelProto:
    """The float32 and the float16 model."""
    return onnx_floats if request.param == "float32" else float16_model


def test_checker_accepts_the_model(float_model: onnx.ModelProto) -> None:
    """ONNX' own checker, with shape inference, accepts the model."""
    onnx.checker.check_model(float_model, full_check=True)


def test_opset(float_model: onnx.ModelProto) -> None:
    """Models import operator set 17 only, and contain no notes of the converters."""
    assert [(item.domain, item.version) for item in float_model.opset_import] == [("", 17)]
    assert not float_model.metadata_props
    assert not float_model.graph.doc_string


def test_shapes_are_constants(float_model: onnx.ModelProto) -> None:
    """The batch size is one, so no operator computes a shape."""
    operators = {node.op_type for node in float_model.graph.node}
    assert not operators & {"Shape", "Gather", "Slice"}


def test_input_and_output_are_float32(case: SourceModel, float_model: onnx.ModelProto) -> None:
    """Each takes one float32 image and returns one float32 row."""
    graph = float_model.graph
    assert types_and_shapes(graph.input) == [(onnx.TensorProto.FLOAT, (1, *case.spec.shape))]
    assert types_and_shapes(graph.output) == [(onnx.TensorProto.FLOAT, (1, len(case.labels)))]


def test_float32_output_equals_keras(
    case: SourceModel,
    onnx_floats: onnx.ModelProto,
    images: NDArray[np.uint8],
    expected: NDArray[np.float32],
    run_onnx: Run,
) -> None:
    """On 200 real images no output differs from Keras' by more than 1e-4."""
    found = run_onnx(onnx_floats, to_tensor(images, case.spec))
    assert len(found) == 200
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_float16_output_is_close_to_keras(
    case: SourceModel,
    float16_model: onnx.ModelProto,
    images: NDArray[np.uint8],
    expected: NDArray[np.float32],
    run_onnx: Run,
) -> None:
    """On 200 real images no output differs from Keras' by more than 1e-2."""
    found = run_onnx(float16_model, to_tensor(images, case.spec))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-2)


def test_float16_computes_in_float16(
    onnx_floats: onnx.ModelProto, float16_model: onnx.ModelProto
) -> None:
    """No weight is float32, weights take half the bytes, and only input and output are cast."""
    types = {item.data_type for item in float16_model.graph.initializer}
    assert onnx.TensorProto.FLOAT16 in types
    assert types <= {onnx.TensorProto.FLOAT16, onnx.TensorProto.INT64}
    weights = [
        sum(len(x.raw_data) for x in m.graph.initializer) for m in (onnx_floats, float16_model)
    ]
    assert weights[1] == pytest.approx(weights[0] / 2, rel=0.02)
    casts = [node for node in float16_model.graph.node if node.op_type == "Cast"]
    image_and_output = (float16_model.graph.input[0].name, float16_model.graph.output[0].name)
    assert [
        (node.input[0] == image_and_output[0], node.output[0] == image_and_output[1])
        for node in casts
    ] == [
        (True, False),
        (False, True),
    ]


def test_conversion_is_reproducible(
    case: SourceModel, onnx_floats: onnx.ModelProto, float16_model: onnx.ModelProto
) -> None:
    """A second conversion in the same process gives the same bytes."""
    again = export_onnx(case.model, spec=case.spec)
    assert serialize(again) == serialize(onnx_floats)
    assert serialize(to_float16(again)) == serialize(float16_model)


@pytest.mark.parametrize("name", HARD_LAYERS)
def test_hard_layers_are_converted(name: str, run_onnx: Run) -> None:
    """These layers are converted: the image is the only input, and the outputs are Keras'."""
    keras.utils.set_random_seed(0)
    head = [layers.Flatten(), layers.Dense(5, activation="softmax")]
    model = keras.Sequential([keras.Input((10, 12, 3)), *HARD_LAYERS[name](), *head])
    spec = InputSpec(
        height=10, width=12, channels=3, scale=1 / 255, offset=0, resize="fit", polarity="any"
    )
    converted = export_onnx(model, spec=spec)
    assert types_and_shapes(converted.graph.input) == [(onnx.TensorProto.FLOAT, (1, 10, 12, 3))]
    assert [(item.domain, item.version) for item in converted.opset_import] == [("", 17)]
    tensors = np.random.default_rng(0).uniform(size=(20, 10, 12, 3)).astype(np.float32)
    expected = model.predict(tensors, verbose=0)
    assert expected.std(axis=0).mean() > 1e-3
    np.testing.assert_allclose(run_onnx(converted, tensors), expected, rtol=0, atol=1e-5)


def test_constants_are_added_not_subtracted() -> None:
    """No constant is subtracted, because onnxruntime does not quantize Sub."""
    model = keras.Sequential(
        [keras.Input((10, 12, 3)), normalization(), layers.Flatten(), layers.Dense(2)]
    )
    spec = InputSpec(
        height=10, width=12, channels=3, scale=1 / 255, offset=0, resize="fit", polarity="any"
    )
    operators = [node.op_type for node in export_onnx(model, spec=spec).graph.node]
    assert "Sub" not in operators
    assert "Add" in operators


def test_tensorflow_settings_are_restored(source: SourceModel) -> None:
    """After a conversion, TensorFlow runs functions as before."""
    before = tf.config.functions_run_eagerly()
    export_onnx(source.model, spec=source.spec)
    assert tf.config.functions_run_eagerly() == before


def test_unconvertible_network_raises_an_export_error(
    unconvertible: Any,
    source: SourceModel,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A network with Python code is an error of one line with the cause, and leaves no files."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExportError, match=r"cannot convert to float32 ONNX: .*PyFunc") as caught:
        export_onnx(unconvertible, spec=source.spec)
    assert "\n" not in str(caught.value)
    assert not caplog.text
    assert not list(tmp_path.iterdir())


def test_unconvertible_float16_raises_an_export_error() -> None:
    """An empty model is an error of one line with the cause."""
    with pytest.raises(ExportError, match=r"^cannot convert to float16 ONNX: [^\n]+$"):
        to_float16(onnx.ModelProto())
