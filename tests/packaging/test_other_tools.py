"""MediaPipe, which does not know fmx, reads TFLite files by their standard metadata."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from fmx_export.pipeline.metadata_writer import write_metadata
from fmx_runtime import Classifier
from fmx_runtime.images.preprocess import to_tensor
from fmx_runtime.model_file.metadata import InputSpec, ModelMetadata

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_export.source.source_model import SourceModel
    from fmx_training.data.dataset import Splits

pytestmark = pytest.mark.slow  # installs MediaPipe

LABELS = ("Größe", "two words", "靴")
COLOR = InputSpec(
    height=20, width=24, channels=3, scale=1 / 127.5, offset=-1.0, resize="fit", polarity="any"
)
PRECISIONS = ["int8", "float32"]
CLASSIFY = """
import json, sys
import mediapipe, numpy
from mediapipe.tasks.python import vision
from mediapipe.tasks.python.core.base_options import BaseOptions
options = vision.ImageClassifierOptions(BaseOptions(sys.argv[1]), max_results=-1)
with vision.ImageClassifier.create_from_options(options) as classifier:
    for pixels in numpy.load(sys.argv[2]):
        image = mediapipe.Image(mediapipe.ImageFormat.SRGB, pixels)
        (answer,) = classifier.classify(image).classifications
        print(json.dumps({item.category_name: item.score for item in answer.categories}))
"""
READ = """
import json, pathlib, sys
from mediapipe.tasks.metadata import metadata_schema_py_generated as metadata
from mediapipe.tasks.metadata import schema_py_generated as schema
model = schema.Model.GetRootAsModel(pathlib.Path(sys.argv[1]).read_bytes(), 0)
entries = [model.Metadata(index) for index in range(model.MetadataLength())]
(buffer,) = [entry.Buffer() for entry in entries if entry.Name() == b"TFLITE_METADATA"]
content = model.Buffers(buffer).DataAsNumpy().tobytes()
assert metadata.ModelMetadata.ModelMetadataBufferHasIdentifier(content, 0)
found = metadata.ModelMetadataT.InitFromObj(metadata.ModelMetadata.GetRootAs(content, 0))
def plain(value):
    if hasattr(value, "tolist"):
        return value.tolist()
    return value.decode() if isinstance(value, bytes) else vars(value)
print(json.dumps(found, default=plain))
"""


@pytest.fixture(scope="module")
def color_images(splits: Splits) -> NDArray[np.uint8]:
    """Real test images as RGB: unchanged, rotated and inverted."""
    cut = splits.test.images[:100, : COLOR.height, : COLOR.width]
    return np.concatenate([cut, cut[:, ::-1, ::-1], 255 - cut], axis=3)


@pytest.fixture(scope="module")
def network() -> Any:
    """A network of RGB images and three classes, with weights as large as after training."""
    keras.utils.set_random_seed(1)
    steep = keras.initializers.VarianceScaling(10, seed=1)
    return keras.Sequential(
        [
            keras.Input(COLOR.shape),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(len(LABELS), "softmax", kernel_initializer=steep),
        ]
    )


def converted(network: Any, calibration: NDArray[np.uint8] | None = None) -> bytes:
    """The network as TFLite; fully quantized if there are images for the calibration."""
    served = tf.Module()
    served.variables_read = [variable.value for variable in network.variables]
    signature = [tf.TensorSpec((1, *COLOR.shape), tf.float32)]
    answer = tf.function(lambda image: network(image, training=False), signature)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [answer.get_concrete_function()], served
    )
    if calibration is not None:
        tensors = to_tensor(calibration, COLOR)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: ([row[np.newaxis]] for row in tensors)
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    return bytes(converter.convert())


@pytest.fixture(params=PRECISIONS)
def color_file(
    request: pytest.FixtureRequest,
    network: Any,
    color_images: NDArray[np.uint8],
    source: SourceModel,
    tmp_path: Path,
) -> Path:
    """The network as a TFLite file with metadata."""
    whole = request.param == "int8"
    metadata = ModelMetadata(
        name="color",
        precision=request.param,
        labels=LABELS,
        input=dataclasses.replace(COLOR, dtype="uint8" if whole else "float32"),
        output="probabilities",
        provenance=source.provenance,
    )
    path = tmp_path / f"color.{request.param}.tflite"
    path.write_bytes(write_metadata(converted(network, color_images if whole else None), metadata))
    return path


def test_media_pipe_predicts_as_fmx_does(
    media_pipe: Any, color_file: Path, color_images: NDArray[np.uint8], tmp_path: Path
) -> None:
    """MediaPipe's classifier opens an RGB file, preprocesses and predicts the same scores."""
    np.save(tmp_path / "images.npy", color_images[:20])
    done = media_pipe.run("python", "-c", CLASSIFY, color_file, "images.npy", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    expected = Classifier(color_file).predict(color_images[:20])
    found = np.array([[answer[label] for label in LABELS] for answer in answers])
    tolerance = 9 / 256 if "int8" in color_file.name else 1e-4
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    assert len(set(expected.argmax(axis=1))) > 1


@pytest.mark.parametrize("precision", PRECISIONS)
def test_media_pipe_reads_that_the_input_is_gray(
    precision: str, media_pipe: Any, exported: Path, tmp_path: Path
) -> None:
    """MediaPipe, which takes RGB only, reads from the metadata that a file takes gray images."""
    np.save(tmp_path / "images.npy", np.zeros((1, 28, 28, 3), np.uint8))
    path = exported / f"baseline.{precision}.tflite"
    done = media_pipe.run("python", "-c", CLASSIFY, path, "images.npy", cwd=tmp_path)
    assert done.returncode != 0
    assert "Only RGB color space is supported" in done.stderr


def read(media_pipe: Any, path: Path) -> dict[str, Any]:
    """The standard metadata of a file, as MediaPipe's own schema reads them."""
    done = media_pipe.run("python", "-c", READ, path, cwd=path.parent)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("precision", PRECISIONS)
def test_standard_metadata(precision: str, media_pipe: Any, exported: Path) -> None:
    """MediaPipe's schema reads names, color space, normalization, ranges and labels."""
    path = exported / f"baseline.{precision}.tflite"
    found = read(media_pipe, path)
    metadata = Classifier(path).metadata
    assert found["name"] == metadata.name
    assert found["description"] == f"Image classifier, 10 classes, {precision}"
    assert found["version"] == metadata.provenance.keras_digest[:12]
    assert found["minParserVersion"] == "1.0.0"
    (subgraph,) = found["subgraphMetadata"]
    (image,), (answer,) = subgraph["inputTensorMetadata"], subgraph["outputTensorMetadata"]
    assert image["name"] == "image"
    assert image["description"] == "28x28 pixels, gray, light things on a dark ground"
    assert image["content"]["contentProperties"]["colorSpace"] == 2
    assert answer["name"] == "probabilities"
    (labels,) = answer["associatedFiles"]
    assert (labels["name"], labels["type"]) == ("labels.txt", 2)
    (unit,) = image["processUnits"]
    assert unit["options"] == {"mean": [0], "std": [255]}
    if precision == "int8":
        # normalized and quantized, as the schema has it, a pixel is its own byte again
        (tensor,) = Interpreter(str(path)).get_input_details()
        scale, zero_point = tensor["quantization"]
        pixels = np.arange(256)
        np.testing.assert_array_equal(np.round(pixels / 255 / scale + zero_point), pixels)
    highest = {"int8": 255, "float32": 1}[precision]
    assert image["stats"] == answer["stats"] == {"max": [highest], "min": [0]}


def test_standard_metadata_of_logits(
    media_pipe: Any, network: Any, source: SourceModel, tmp_path: Path
) -> None:
    """The input range -1..1 is stated as mean and deviation; logits are named, without bounds."""
    metadata = ModelMetadata(
        name="color",
        precision="float32",
        labels=LABELS,
        input=COLOR,
        output="logits",
        provenance=source.provenance,
    )
    (tmp_path / "logits.tflite").write_bytes(write_metadata(converted(network), metadata))
    (subgraph,) = read(media_pipe, tmp_path / "logits.tflite")["subgraphMetadata"]
    (image,), (answer,) = subgraph["inputTensorMetadata"], subgraph["outputTensorMetadata"]
    (unit,) = image["processUnits"]
    assert unit["options"] == {"mean": [127.5], "std": [127.5]}
    assert image["stats"] == {"max": [1], "min": [-1]}
    assert image["content"]["contentProperties"]["colorSpace"] == 1
    assert image["description"] == "24x20 pixels, RGB"
    assert (answer["name"], answer["stats"]) == ("logits", None)
