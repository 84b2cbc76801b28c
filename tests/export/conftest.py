"""Networks with unusual layers for the export tests, and real images for them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from fmx_export.onnx.convert import export_onnx
from fmx_export.tflite.convert import export_tflite
from fmx_runtime.images.preprocess import to_tensor
from fmx_runtime.model_file.metadata import InputSpec, ModelMetadata, Provenance

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx
    from numpy.typing import NDArray

    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits


def color_network() -> Any:
    """RGB, not square, batch normalization, ReLU6, depthwise convolution, three classes."""
    return keras.Sequential(
        [
            keras.Input((20, 24, 3)),
            layers.Conv2D(8, 3, use_bias=False),
            layers.BatchNormalization(gamma_initializer=uniform()),
            layers.ReLU(6),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.BatchNormalization(moving_variance_initializer=uniform()),
            layers.ReLU(),
            layers.Conv2D(16, 1, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(3, "softmax", kernel_initializer=steep()),
        ]
    )


def logits_network() -> Any:
    """Logits instead of a softmax, and the input range -1..1."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(8, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


def branching_network() -> Any:
    """Two branches that are concatenated and added."""
    image = keras.Input((28, 28, 1))
    narrow = layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    wide = layers.Conv2D(4, 5, padding="same", activation="relu")(image)
    both = layers.Concatenate()([narrow, wide])
    summed = layers.ReLU()(layers.Add()([both, layers.Conv2D(8, 1)(both)]))
    pooled = layers.Flatten()(layers.AveragePooling2D(4)(summed))
    return keras.Model(image, layers.Dense(10, "softmax", kernel_initializer=steep())(pooled))


def dense_network() -> Any:
    """Dense layers only."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Flatten(),
            layers.Dense(16, activation="relu"),
            layers.Dense(10, "softmax", kernel_initializer=steep()),
        ]
    )


def uniform() -> Any:
    """Values around 1, as in a batch normalization after training."""
    return keras.initializers.RandomUniform(0.5, 1.5, seed=1)


def steep() -> Any:
    """Large weights, so that predictions differ between images as after training."""
    return keras.initializers.VarianceScaling(30, seed=1)


NETWORKS: dict[str, tuple[Callable[[], Any], float, float]] = {
    "color": (color_network, 1 / 255, 0.0),
    "logits": (logits_network, 1 / 127.5, -1.0),
    "branching": (branching_network, 1 / 255, 0.0),
    "dense": (dense_network, 1 / 255, 0.0),
}


@pytest.fixture(scope="session", params=["real", *NETWORKS])
def case(request: pytest.FixtureRequest, source: SourceModel) -> SourceModel:
    """The small trained model, and each untrained network."""
    if request.param == "real":
        return source
    build, scale, offset = NETWORKS[request.param]
    keras.utils.set_random_seed(1)
    model = build()
    height, width, channels = model.input_shape[1:]
    spec = InputSpec(
        height=height,
        width=width,
        channels=channels,
        scale=scale,
        offset=offset,
        resize="fit",
        polarity="any",
    )
    labels = source.labels[: model.output_shape[1]]
    return dataclasses.replace(source, model=model, name=request.param, labels=labels, spec=spec)


@pytest.fixture(scope="session")
def sample(case: SourceModel, few: Splits) -> NDArray[np.uint8]:
    """100 real training images in the case's size and color mode, for calibration."""
    return _like(few.train.images[:100], case.spec)


@pytest.fixture(scope="session")
def images(case: SourceModel, few: Splits) -> NDArray[np.uint8]:
    """200 real test images in the case's size and color mode."""
    return _like(few.test.images[:200], case.spec)


@pytest.fixture(scope="session")
def expected(case: SourceModel, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Keras' outputs for the images, float32 (200, classes)."""
    outputs: NDArray[np.float32] = case.model.predict(to_tensor(images, case.spec), verbose=0)
    return outputs


@pytest.fixture(scope="session")
def tflite_floats(case: SourceModel) -> bytes:
    """The case's float32 TFLite file."""
    return export_tflite(case.model, spec=case.spec)


@pytest.fixture(scope="session")
def onnx_floats(case: SourceModel) -> onnx.ModelProto:
    """The case's float32 ONNX model; tests must not change it."""
    return export_onnx(case.model, spec=case.spec)


@pytest.fixture(scope="session")
def run_tflite() -> Callable[[bytes, NDArray[Any]], NDArray[np.float32]]:
    """Run a model in LiteRT on one tensor after another: ``run_tflite(content, tensors)``.

    Quantized outputs are dequantized.
    """

    def run(content: bytes, tensors: NDArray[Any]) -> NDArray[np.float32]:
        interpreter = Interpreter(model_content=content)
        interpreter.allocate_tensors()
        entry, end = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        rows = []
        for index in range(len(tensors)):
            interpreter.set_tensor(entry["index"], tensors[index : index + 1])
            interpreter.invoke()
            rows.append(interpreter.get_tensor(end["index"])[0])
        scale, zero_point = end["quantization"]
        raw = np.array(rows, np.float32)
        return (raw - zero_point) * scale if scale else raw

    return run


@pytest.fixture(scope="session")
def run_onnx() -> Callable[[onnx.ModelProto, NDArray[Any]], NDArray[np.float32]]:
    """Run a model in onnxruntime on one tensor after another: ``run_onnx(model, tensors)``."""

    def run(model: onnx.ModelProto, tensors: NDArray[Any]) -> NDArray[np.float32]:
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.x64quantprecision", "1")  # as fmx_runtime does
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        name = session.get_inputs()[0].name
        rows = [session.run(None, {name: tensors[i : i + 1]})[0][0] for i in range(len(tensors))]
        return np.array(rows)

    return run


@pytest.fixture(scope="session")
def unconvertible() -> Any:
    """A network that calls Python code, which no model file can contain."""

    def identity(image: Any) -> Any:
        called = tf.py_function(lambda tensor: tensor, [image], tf.float32)
        return tf.ensure_shape(called, image.shape)

    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Lambda(identity),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


@pytest.fixture
def metadata(source: SourceModel) -> ModelMetadata:
    """Metadata in which every text is fixed."""
    return ModelMetadata(
        name="baseline",
        precision="float32",
        labels=source.labels,
        input=source.spec,
        output="probabilities",
        provenance=Provenance(
            recipe="baseline",
            seed=0,
            data="fashion-mnist train",
            data_digest="1" * 64,
            keras_digest="2" * 64,
            commit="unknown",
            versions={"keras": "3.15.0"},
        ),
    )


def _like(images: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.uint8]:
    """Crop images to the network's size; RGB channels: as they are, rotated, inverted."""
    cut = images[:, : spec.height, : spec.width]
    return np.concatenate([cut, cut[:, ::-1, ::-1], 255 - cut], axis=3)[..., : spec.channels]


def badly_scaled_network() -> Any:
    """A depthwise network whose layers ``wide`` and ``undone`` a ReLU joins, for `rescale`."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(32, 1, activation="relu", name="wide"),
            layers.DepthwiseConv2D(3, strides=2, padding="same", activation="relu", name="undone"),
            layers.Conv2D(32, 1, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, "softmax"),
        ]
    )


def rescale(model: Any) -> None:
    """Multiply each channel of ``wide`` by its own factor, and divide by it in ``undone``.

    The factors range from 1 to 16,384, and most are small. They are powers of two and pass through
    the ReLU, so the float outputs do not change by a single bit. An int8 tensor has one scale for
    all channels: its step, set by the largest channel, is coarser than the small channels' values.
    """
    exponents = np.round(14 * np.linspace(0, 1, 32) ** 2)
    factors = np.random.default_rng(0).permutation(np.exp2(exponents).astype(np.float32))
    wide, undone = model.get_layer("wide"), model.get_layer("undone")
    kernel, bias = wide.get_weights()
    wide.set_weights([kernel * factors, bias * factors])
    kernel, bias = undone.get_weights()
    undone.set_weights([kernel / factors[:, np.newaxis], bias])


@pytest.fixture(scope="session")
def badly_scaled(source: SourceModel, few: Splits) -> SourceModel:
    """A network with about 80 % accuracy in float, which int8 activations destroy."""
    keras.utils.set_random_seed(0)
    model = badly_scaled_network()
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    inputs = to_tensor(few.train.images, source.spec)
    model.fit(inputs, few.train.labels, batch_size=32, epochs=4, verbose=0)
    rescale(model)
    return dataclasses.replace(source, model=model, name="badly-scaled")
