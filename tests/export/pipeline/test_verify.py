"""What an exported file must answer before it is published."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
from keras import layers

from fmx_export.onnx.convert import export_onnx, serialize
from fmx_export.pipeline.metadata_writer import embed
from fmx_export.pipeline.verify import measure, verify_metadata
from fmx_export.source.reference import Reference, predict_reference
from fmx_export.tflite.convert import export_tflite
from fmx_runtime.classifier import Classifier
from fmx_runtime.errors import ExportError, ModelFileError
from fmx_runtime.images.preprocess import to_tensor
from fmx_runtime.model_file import test_vectors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_export.source.source_model import SourceModel
    from fmx_runtime.model_file.metadata import InputSpec, ModelMetadata
    from fmx_training.data.dataset import Splits

FORMS: dict[str, Callable[[Any, InputSpec], bytes]] = {
    "tflite": lambda model, spec: export_tflite(model, spec=spec),
    "onnx": lambda model, spec: serialize(export_onnx(model, spec=spec)),
}


@pytest.fixture(scope="session")
def reference(source: SourceModel, few: Splits) -> Reference:
    """What the real small model says to 500 images."""
    return predict_reference(source.model, source.spec, few.validation)


@pytest.fixture(params=sorted(FORMS))
def form(request: pytest.FixtureRequest) -> str:
    """Each format in its turn."""
    name: str = request.param
    return name


@dataclass(frozen=True)
class Unlabeled:
    """Images of which nobody knows what they show."""

    name: str
    images: NDArray[np.uint8]
    labels: None = None


def changed(model: Any, layer: int, change: Any) -> Any:
    """A copy of a model with one layer's weights changed."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    weights = copy.layers[layer].get_weights()
    change(weights)
    copy.layers[layer].set_weights(weights)
    return copy


def test_probabilities_are_known_by_their_sum(reference: Reference, source: SourceModel) -> None:
    """A softmax at the end is recognized, and its answers are what Keras' predict gives."""
    tensor = to_tensor(reference.images.images, source.spec)
    assert reference.output == "probabilities"
    assert np.array_equal(reference.probabilities, source.model.predict(tensor, 256, verbose=0))


def test_logits_become_probabilities(source: SourceModel, few: Splits) -> None:
    """A model without softmax is recognized, and compared by its softmax."""
    inner = keras.Sequential([source.model, layers.Lambda(keras.ops.log)])
    answer = predict_reference(inner, source.spec, few.validation)
    assert answer.output == "logits"
    expected = predict_reference(source.model, source.spec, few.validation).probabilities
    np.testing.assert_allclose(answer.probabilities, expected, atol=1e-6)


def test_a_model_that_answers_nan_is_refused(source: SourceModel, few: Splits) -> None:
    """A network with NaN in its weights is refused before anything is converted."""

    def spoil(weights: list[NDArray[np.float32]]) -> None:
        weights[0][0] = np.nan

    broken = changed(source.model, -1, spoil)
    with pytest.raises(ExportError, match=r"Keras model returns NaN or infinity for 500 of 500"):
        predict_reference(broken, source.spec, few.validation)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_figures(form: str, precision: str, exported: Path, reference: Reference) -> None:
    """Accuracies and agreement are fractions of the images, counted one by one."""
    path = exported / f"baseline.{precision}.{form}"
    accuracy = measure(path, reference)
    classifier = Classifier(path)
    said = [classifier.predict(image[None]).argmax() for image in reference.images.images]
    keras_said = reference.probabilities.argmax(axis=1)
    labels = reference.images.labels
    assert labels is not None
    assert accuracy.keras is not None
    assert accuracy.file is not None
    assert accuracy.size == len(labels) == 500
    assert accuracy.data == reference.images.name
    assert accuracy.keras * 500 == sum(keras_said == labels)
    assert accuracy.file * 500 == sum(said == labels)
    assert accuracy.agreement * 500 == sum(said == keras_said)


def test_other_weights_in_a_float_file(
    form: str, source: SourceModel, metadata: ModelMetadata, reference: Reference, tmp_path: Path
) -> None:
    """A sound float file of a slightly different network is refused with the difference."""

    def push(weights: list[NDArray[np.float32]]) -> None:
        weights[1][3] += 0.01

    other = changed(source.model, -1, push)
    path = tmp_path / f"m.{form}"
    path.write_bytes(embed(FORMS[form](other, source.spec), metadata))
    with pytest.raises(ExportError, match=rf"m\.{form}: a probability differs by 0\.00\d+ from"):
        measure(path, reference)


def test_a_smaller_file_may_differ(form: str, exported: Path, reference: Reference) -> None:
    """Whether the differences of an int8 file are too many is for the gate to say."""
    path = exported / f"baseline.int8.{form}"
    inverted = dataclasses.replace(reference, probabilities=1 - reference.probabilities)
    accuracy = measure(path, inverted)
    assert accuracy.keras is not None
    assert accuracy.file is not None
    assert accuracy.keras < 0.1 < accuracy.file
    assert accuracy.agreement < 0.1


def test_a_file_that_answers_nan(
    source: SourceModel, metadata: ModelMetadata, reference: Reference, tmp_path: Path
) -> None:
    """NaN from a file is not a small difference: it is refused by name."""

    def spoil(weights: list[NDArray[np.float32]]) -> None:
        weights[1][0] = np.nan

    broken = changed(source.model, -1, spoil)
    path = tmp_path / "m.onnx"
    path.write_bytes(embed(FORMS["onnx"](broken, source.spec), metadata))
    with pytest.raises(ExportError, match=r"m\.onnx returns NaN or infinity for 500 of 500"):
        measure(path, reference)


def test_images_without_labels(form: str, exported: Path, reference: Reference) -> None:
    """Nobody knows how many are right, but how many are answered as Keras does."""
    path = exported / f"baseline.int8.{form}"
    unlabeled = dataclasses.replace(reference, images=Unlabeled("mine", reference.images.images))
    accuracy = measure(path, unlabeled)
    assert accuracy == dataclasses.replace(
        measure(path, reference), keras=None, file=None, data="mine"
    )


def test_a_finished_file_answers_its_test_vectors_inputs(exported: Path) -> None:
    """Each real file carries three images and its exact answers to them."""
    for path in exported.glob("baseline.*"):
        verify_metadata(path)
        metadata = Classifier(path).metadata
        assert metadata.test_vectors is not None
        pixels, outputs = test_vectors.decode(metadata.test_vectors, metadata.input.shape)
        assert pixels.shape == (3, 28, 28, 1)
        assert np.array_equal(Classifier(path).predict(pixels), outputs)


def test_other_test_vectors_answers_are_refused(form: str, exported: Path, tmp_path: Path) -> None:
    """An answer off by one step, or no test vectors at all, is refused."""
    whole = exported / f"baseline.int8.{form}"
    metadata = Classifier(whole).metadata
    model = whole.read_bytes()[: metadata.model_bytes]
    assert metadata.test_vectors is not None
    first, *others = metadata.test_vectors.outputs
    off = (float(np.nextafter(np.float32(first[0]), np.float32(2))), *first[1:])
    path = tmp_path / f"m.{form}"
    wrong = dataclasses.replace(metadata.test_vectors, outputs=(off, *others))
    path.write_bytes(embed(model, dataclasses.replace(metadata, test_vectors=wrong)))
    with pytest.raises(ExportError, match="answers its test vectors otherwise"):
        verify_metadata(path)
    path.write_bytes(embed(model, dataclasses.replace(metadata, test_vectors=None)))
    with pytest.raises(ExportError, match="carries no test vectors"):
        verify_metadata(path)


def test_tampered_weights_are_refused(form: str, exported: Path, tmp_path: Path) -> None:
    """One weight changed in a finished file is refused when it is opened."""
    whole = exported / f"baseline.int8.{form}"
    content = bytearray(whole.read_bytes())
    content[Classifier(whole).metadata.model_bytes // 2] ^= 1
    path = tmp_path / f"m.{form}"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="changed after it was exported"):
        verify_metadata(path)
