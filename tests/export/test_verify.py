"""What an exported file must answer before it is published."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
from keras import layers

from fmx_export.embed import embed
from fmx_export.onnx import export_onnx, serialize
from fmx_export.tflite import export_tflite
from fmx_export.verify import Reference, ask_keras, measure, verify_card
from fmx_runtime import golden
from fmx_runtime.classifier import Classifier
from fmx_runtime.errors import ExportError, ModelFileError
from fmx_runtime.preprocess import to_tensor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_export.bundle import Source
    from fmx_runtime.card import InputSpec, ModelCard
    from fmx_training.dataset import Splits

FORMS: dict[str, Callable[[Any, InputSpec], bytes]] = {
    "tflite": lambda model, spec: export_tflite(model, spec=spec),
    "onnx": lambda model, spec: serialize(export_onnx(model, spec=spec)),
}


@pytest.fixture(scope="session")
def reference(source: Source, few: Splits) -> Reference:
    """What the real small model says to 500 pictures."""
    return ask_keras(source.model, source.spec, few.validation)


@pytest.fixture(params=sorted(FORMS))
def form(request: pytest.FixtureRequest) -> str:
    """Each format in its turn."""
    name: str = request.param
    return name


@dataclass(frozen=True)
class Unlabelled:
    """Pictures of which nobody knows what they show."""

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


def test_probabilities_are_known_by_their_sum(reference: Reference, source: Source) -> None:
    """A softmax at the end is recognized, and its answers are what Keras' predict gives."""
    tensor = to_tensor(reference.pictures.images, source.spec)
    assert reference.output == "probabilities"
    assert np.array_equal(reference.probabilities, source.model.predict(tensor, 256, verbose=0))


def test_logits_become_probabilities(source: Source, few: Splits) -> None:
    """A model without softmax is recognized, and compared by its softmax."""
    inner = keras.Sequential([source.model, layers.Lambda(keras.ops.log)])
    answer = ask_keras(inner, source.spec, few.validation)
    assert answer.output == "logits"
    expected = ask_keras(source.model, source.spec, few.validation).probabilities
    np.testing.assert_allclose(answer.probabilities, expected, atol=1e-6)


def test_a_model_that_answers_nan_is_refused(source: Source, few: Splits) -> None:
    """A network with NaN in its weights is refused before anything is converted."""

    def spoil(weights: list[NDArray[np.float32]]) -> None:
        weights[0][0] = np.nan

    broken = changed(source.model, -1, spoil)
    with pytest.raises(ExportError, match=r"Keras model answers NaN or infinity to 500 of 500"):
        ask_keras(broken, source.spec, few.validation)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_figures(form: str, precision: str, exported: Path, reference: Reference) -> None:
    """Accuracies and agreement are fractions of the pictures, counted one by one."""
    path = exported / f"baseline.{precision}.{form}"
    accuracy = measure(path, reference)
    classifier = Classifier(path)
    said = [classifier.predict(picture[None]).argmax() for picture in reference.pictures.images]
    keras_said = reference.probabilities.argmax(axis=1)
    labels = reference.pictures.labels
    assert labels is not None
    assert accuracy.keras is not None
    assert accuracy.file is not None
    assert accuracy.size == len(labels) == 500
    assert accuracy.data == reference.pictures.name
    assert accuracy.keras * 500 == sum(keras_said == labels)
    assert accuracy.file * 500 == sum(said == labels)
    assert accuracy.agreement * 500 == sum(said == keras_said)


def test_other_weights_in_a_float_file(
    form: str, source: Source, card: ModelCard, reference: Reference, tmp_path: Path
) -> None:
    """A sound float file of a slightly different network is refused with the difference."""

    def push(weights: list[NDArray[np.float32]]) -> None:
        weights[1][3] += 0.01

    other = changed(source.model, -1, push)
    path = tmp_path / f"m.{form}"
    path.write_bytes(embed(FORMS[form](other, source.spec), card))
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
    source: Source, card: ModelCard, reference: Reference, tmp_path: Path
) -> None:
    """NaN from a file is not a small difference: it is refused by name."""

    def spoil(weights: list[NDArray[np.float32]]) -> None:
        weights[1][0] = np.nan

    broken = changed(source.model, -1, spoil)
    path = tmp_path / "m.onnx"
    path.write_bytes(embed(FORMS["onnx"](broken, source.spec), card))
    with pytest.raises(ExportError, match=r"m\.onnx answers NaN or infinity to 500 of 500"):
        measure(path, reference)


def test_pictures_without_labels(form: str, exported: Path, reference: Reference) -> None:
    """Nobody knows how many are right, but how many are answered as Keras does."""
    path = exported / f"baseline.int8.{form}"
    unlabelled = dataclasses.replace(
        reference, pictures=Unlabelled("mine", reference.pictures.images)
    )
    accuracy = measure(path, unlabelled)
    assert accuracy == dataclasses.replace(
        measure(path, reference), keras=None, file=None, data="mine"
    )


def test_a_finished_file_answers_its_golden_inputs(exported: Path) -> None:
    """Each real file carries three pictures and its exact answers to them."""
    for path in exported.glob("baseline.*"):
        verify_card(path)
        card = Classifier(path).card
        assert card.golden is not None
        pixels, outputs = golden.decode(card.golden, card.input.shape)
        assert pixels.shape == (3, 28, 28, 1)
        assert np.array_equal(Classifier(path).predict(pixels), outputs)


def test_other_golden_answers_are_refused(form: str, exported: Path, tmp_path: Path) -> None:
    """An answer off by one step, or no golden vectors at all, is refused."""
    whole = exported / f"baseline.int8.{form}"
    card = Classifier(whole).card
    model = whole.read_bytes()[: card.model_bytes]
    assert card.golden is not None
    first, *others = card.golden.outputs
    off = (float(np.nextafter(np.float32(first[0]), np.float32(2))), *first[1:])
    path = tmp_path / f"m.{form}"
    wrong = dataclasses.replace(card.golden, outputs=(off, *others))
    path.write_bytes(embed(model, dataclasses.replace(card, golden=wrong)))
    with pytest.raises(ExportError, match="answers its golden inputs otherwise"):
        verify_card(path)
    path.write_bytes(embed(model, dataclasses.replace(card, golden=None)))
    with pytest.raises(ExportError, match="carries no golden vectors"):
        verify_card(path)


def test_tampered_weights_are_refused(form: str, exported: Path, tmp_path: Path) -> None:
    """One weight changed in a finished file is refused when it is opened."""
    whole = exported / f"baseline.int8.{form}"
    content = bytearray(whole.read_bytes())
    content[Classifier(whole).card.model_bytes // 2] ^= 1
    path = tmp_path / f"m.{form}"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="changed after it was exported"):
        verify_card(path)
