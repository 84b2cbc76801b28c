"""Verification of exported files in their real runtime."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest

from fmx_export.onnx.convert import export_onnx, serialize
from fmx_export.pipeline.metadata_writer import write_metadata
from fmx_export.pipeline.verify import measure, verify_metadata
from fmx_export.source.reference_predictions import Reference, predict_reference
from fmx_export.tflite.convert import export_tflite
from fmx_runtime.classifier import Classifier
from fmx_runtime.errors import ExportError, ModelFileError
from fmx_runtime.model_file import test_vectors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_export.source.source_model import SourceModel
    from fmx_runtime.model_file.metadata import InputSpec, ModelMetadata
    from fmx_training.data.dataset import Splits

CONVERTERS: dict[str, Callable[[Any, InputSpec], bytes]] = {
    "tflite": lambda model, spec: export_tflite(model, spec=spec),
    "onnx": lambda model, spec: serialize(export_onnx(model, spec=spec)),
}


@pytest.fixture(scope="session")
def reference(source: SourceModel, few: Splits) -> Reference:
    """The trained model's predictions on 500 validation images."""
    return predict_reference(source.model, source.spec, few.validation)


@pytest.fixture(params=sorted(CONVERTERS))
def model_format(request: pytest.FixtureRequest) -> str:
    """Each model format."""
    name: str = request.param
    return name


def changed(model: Any, layer: int, change: Any) -> Any:
    """A copy of a model with one layer's weights changed."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    weights = copy.layers[layer].get_weights()
    change(weights)
    copy.layers[layer].set_weights(weights)
    return copy


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_measured_accuracies(
    model_format: str, precision: str, exported: Path, reference: Reference
) -> None:
    """Accuracies and agreement are the shares of images, counted one by one."""
    path = exported / f"baseline.{precision}.{model_format}"
    accuracy = measure(path, reference)
    classifier = Classifier(path)
    predicted = [classifier.predict(image[None]).argmax() for image in reference.images.images]
    keras_predicted = reference.probabilities.argmax(axis=1)
    labels = reference.images.labels
    assert labels is not None
    assert accuracy.keras is not None
    assert accuracy.file is not None
    assert accuracy.size == len(labels) == 500
    assert accuracy.data == reference.images.name
    assert accuracy.keras * 500 == sum(keras_predicted == labels)
    assert accuracy.file * 500 == sum(predicted == labels)
    assert accuracy.agreement * 500 == sum(predicted == keras_predicted)


def test_float32_file_of_another_network(
    model_format: str,
    source: SourceModel,
    metadata: ModelMetadata,
    reference: Reference,
    tmp_path: Path,
) -> None:
    """A float32 file of a slightly different network is an error with the difference."""

    def shift(weights: list[NDArray[np.float32]]) -> None:
        weights[1][3] += 0.01

    other = changed(source.model, -1, shift)
    path = tmp_path / f"m.{model_format}"
    path.write_bytes(write_metadata(CONVERTERS[model_format](other, source.spec), metadata))
    with pytest.raises(
        ExportError, match=rf"m\.{model_format}: a probability differs by 0\.00\d+ from"
    ):
        measure(path, reference)


def test_int8_file_may_differ(model_format: str, exported: Path, reference: Reference) -> None:
    """An int8 file is measured however much it differs; accuracy control decides about it."""
    path = exported / f"baseline.int8.{model_format}"
    inverted = dataclasses.replace(reference, probabilities=1 - reference.probabilities)
    accuracy = measure(path, inverted)
    assert accuracy.keras is not None
    assert accuracy.file is not None
    assert accuracy.keras < 0.1 < accuracy.file
    assert accuracy.agreement < 0.1


def test_file_with_nan(
    source: SourceModel, metadata: ModelMetadata, reference: Reference, tmp_path: Path
) -> None:
    """A file that returns NaN is an error with its name."""

    def set_nan(weights: list[NDArray[np.float32]]) -> None:
        weights[1][0] = np.nan

    broken = changed(source.model, -1, set_nan)
    path = tmp_path / "m.onnx"
    path.write_bytes(write_metadata(CONVERTERS["onnx"](broken, source.spec), metadata))
    with pytest.raises(ExportError, match=r"m\.onnx returns NaN or infinity for 500 of 500"):
        measure(path, reference)


def test_images_without_labels(
    model_format: str, exported: Path, reference: Reference, unlabeled: Callable[..., Any]
) -> None:
    """Without labels there is the agreement with Keras, but no accuracy."""
    path = exported / f"baseline.int8.{model_format}"
    images = unlabeled("mine", reference.images.images)
    accuracy = measure(path, dataclasses.replace(reference, images=images))
    assert accuracy == dataclasses.replace(
        measure(path, reference), keras=None, file=None, data="mine"
    )


def test_exported_files_reproduce_their_test_vectors(exported: Path) -> None:
    """Each exported file has three test vectors, and reproduces them exactly."""
    for path in exported.glob("baseline.*"):
        verify_metadata(path)
        metadata = Classifier(path).metadata
        assert metadata.test_vectors is not None
        pixels, outputs = test_vectors.decode(metadata.test_vectors, metadata.input.shape)
        assert pixels.shape == (3, 28, 28, 1)
        assert np.array_equal(Classifier(path).predict(pixels), outputs)


def test_wrong_test_vectors(model_format: str, exported: Path, tmp_path: Path) -> None:
    """A probability that differs in its last bit is an error, and so are missing test vectors."""
    original = exported / f"baseline.int8.{model_format}"
    metadata = Classifier(original).metadata
    model = original.read_bytes()[: metadata.model_bytes]
    assert metadata.test_vectors is not None
    first, *others = metadata.test_vectors.outputs
    off = (float(np.nextafter(np.float32(first[0]), np.float32(2))), *first[1:])
    path = tmp_path / f"m.{model_format}"
    wrong = dataclasses.replace(metadata.test_vectors, outputs=(off, *others))
    path.write_bytes(write_metadata(model, dataclasses.replace(metadata, test_vectors=wrong)))
    with pytest.raises(ExportError, match="does not reproduce its test vectors"):
        verify_metadata(path)
    path.write_bytes(write_metadata(model, dataclasses.replace(metadata, test_vectors=None)))
    with pytest.raises(ExportError, match="has no test vectors"):
        verify_metadata(path)


def test_changed_weights(model_format: str, exported: Path, tmp_path: Path) -> None:
    """A finished file with one changed weight cannot be opened."""
    original = exported / f"baseline.int8.{model_format}"
    content = bytearray(original.read_bytes())
    content[Classifier(original).metadata.model_bytes // 2] ^= 1
    path = tmp_path / f"m.{model_format}"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="changed after it was exported"):
        verify_metadata(path)
