"""The gate: what an exported file must answer before it is published."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
from keras import layers

from fmx_export.embed import embed
from fmx_export.onnx import export_onnx
from fmx_export.tflite import export_tflite
from fmx_export.verify import Reference, ask_keras, measure, verify_card
from fmx_runtime import golden
from fmx_runtime.classifier import Classifier
from fmx_runtime.errors import ExportError, ModelFileError
from fmx_runtime.preprocess import to_tensor

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_export.bundle import Source
    from fmx_runtime.card import ModelCard
    from fmx_training.dataset import Splits

FORMS = {"tflite": export_tflite, "onnx": export_onnx}


@pytest.fixture(scope="session")
def reference(source: Source, few: Splits) -> Reference:
    """What the real small model says to 500 pictures."""
    return ask_keras(source.model, source.spec, few.validation)


@pytest.fixture(params=sorted(FORMS))
def form(request: pytest.FixtureRequest) -> str:
    """Each format in its turn."""
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
    model = FORMS[form](
        other, precision="float32", spec=source.spec, calibration=reference.pictures.images[:1]
    )
    path = tmp_path / f"m.{form}"
    path.write_bytes(embed(model, card))
    with pytest.raises(ExportError, match=rf"m\.{form}: a probability differs by 0\.00\d+ from"):
        measure(path, reference)


def test_a_model_that_quantizes_badly(  # noqa: PLR0917 (fixtures)
    form: str, source: Source, card: ModelCard, few: Splits, reference: Reference, tmp_path: Path
) -> None:
    """One channel a thousand times larger than the others costs accuracy: both are named."""
    model = keras.models.clone_model(source.model)
    model.set_weights(source.model.get_weights())
    first, second = (layer for layer in model.layers if isinstance(layer, layers.Conv2D))
    kernel, bias = first.get_weights()
    kernel[..., 0] *= 3000
    bias[0] *= 3000
    first.set_weights([kernel, bias])
    kernel, bias = second.get_weights()
    kernel[:, :, 0] /= 3000
    second.set_weights([kernel, bias])
    np.testing.assert_allclose(
        ask_keras(model, source.spec, few.validation).probabilities,
        reference.probabilities,
        atol=1e-5,
    )
    content = FORMS[form](
        model, precision="int8", spec=source.spec, calibration=few.train.images[:200]
    )
    spec = dataclasses.replace(source.spec, dtype="uint8")
    path = tmp_path / f"m.{form}"
    path.write_bytes(embed(content, dataclasses.replace(card, precision="int8", input=spec)))
    keras_accuracy = f"{np.mean(reference.probabilities.argmax(1) == few.validation.labels):.2%}"
    with pytest.raises(ExportError, match=rf"from {keras_accuracy} to \d+\.\d\d%, more than 0\.5%"):
        measure(path, reference)


def test_a_file_that_answers_nan(
    source: Source, card: ModelCard, reference: Reference, tmp_path: Path
) -> None:
    """NaN from a file is not a small difference: it is refused by name."""

    def spoil(weights: list[NDArray[np.float32]]) -> None:
        weights[1][0] = np.nan

    broken = changed(source.model, -1, spoil)
    model = export_onnx(
        broken, precision="float32", spec=source.spec, calibration=reference.pictures.images[:1]
    )
    path = tmp_path / "m.onnx"
    path.write_bytes(embed(model, card))
    with pytest.raises(ExportError, match=r"m\.onnx answers NaN or infinity to 500 of 500"):
        measure(path, reference)


@pytest.mark.parametrize("lost", [0, 1, 2, 3])
def test_the_limit_itself_is_allowed(lost: int, exported: Path, reference: Reference) -> None:
    """Of 400 pictures an int8 file may lose two, half a percent, and not a third."""
    path = exported / "baseline.int8.tflite"
    answers = Classifier(path).predict(reference.pictures.images[:400])
    labels = answers.argmax(axis=1)
    labels[:lost] = (labels[:lost] + 1) % 10
    pictures = dataclasses.replace(
        reference.pictures,
        images=reference.pictures.images[:400],
        labels=labels,
    )
    always_right = Reference(pictures, "probabilities", np.eye(10, dtype=np.float32)[labels])
    if lost <= 2:
        assert measure(path, always_right).file == 1 - lost / 400
    else:
        with pytest.raises(ExportError, match=r"falls from 100\.00% to 99\.25%"):
            measure(path, always_right)


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
