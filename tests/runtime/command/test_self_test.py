from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, get_args

import numpy as np
import pytest

from fmx_runtime import Classifier, ModelFileError
from fmx_runtime.command import self_test
from fmx_runtime.model_file import test_vectors
from fmx_runtime.model_file.metadata import Precision, TestVectors

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_training.data.dataset import Splits

NAMES = ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"]
TOLERANCES = {"float32": 1e-4, "int8": 0.1}


def made_elsewhere(
    path: Path, pixels: NDArray[np.uint8], outputs: NDArray[np.float32]
) -> Classifier:
    """The classifier of a file that gave these answers where it was made."""
    classifier = Classifier(path)
    vectors = test_vectors.encode(pixels, outputs)
    classifier.metadata = dataclasses.replace(classifier.metadata, test_vectors=vectors)
    return classifier


@pytest.mark.parametrize("name", NAMES)
def test_where_it_was_made(name: str, exported: Path) -> None:
    """Each file answers its test vectors to the last bit where it was exported."""
    classifier = Classifier(exported / f"baseline.{name}")
    assert self_test.self_test(classifier) == self_test.SelfTest(
        verdict="exact",
        difference=0,
        tolerance=TOLERANCES[name.split(".", maxsplit=1)[0]],
        images=3,
        labels_agree=True,
        backend=classifier.backend,
    )


@pytest.mark.parametrize("name", NAMES)
def test_rounding_is_told_from_errors(name: str, exported: Path, splits: Splits) -> None:
    """Just below the precision's tolerance is neither exact nor wrong, just above it is wrong."""
    path, pixels = exported / f"baseline.{name}", splits.test.images[:5]
    answers = Classifier(path).predict(pixels)
    tolerance = TOLERANCES[name.split(".", maxsplit=1)[0]]
    for factor, verdict in ((0.99, "within tolerance"), (1.01, "wrong")):
        outputs = answers.copy()
        outputs[2, answers[2].argmax()] += np.float32(factor * tolerance)
        result = self_test.self_test(made_elsewhere(path, pixels, outputs))
        assert result.verdict == verdict
        assert result.difference == pytest.approx(factor * tolerance, rel=1e-2)
        assert (result.images, result.labels_agree) == (5, True)


@pytest.mark.parametrize(("share", "verdict"), [(0.45, "within tolerance"), (0.95, "wrong")])
def test_another_label(share: float, verdict: str, exported: Path, few: Splits) -> None:
    """Another label on top is wrong, unless it was about as probable where the file was made."""
    path = exported / "baseline.int8.tflite"
    answers = Classifier(path).predict(few.test.images)
    ranked = np.sort(answers, axis=1)
    at = int((ranked[:, -1] - ranked[:, -2]).argmin())
    first, second = np.argsort(-answers[at], kind="stable")[:2]
    assert answers[at, first] - answers[at, second] < 2 / 256
    outputs = answers[at : at + 1].copy()
    outputs[0, first] -= np.float32(share * 0.1)
    outputs[0, second] += np.float32(share * 0.1)
    result = self_test.self_test(made_elsewhere(path, few.test.images[at : at + 1], outputs))
    assert not result.labels_agree
    assert result.difference < 0.1
    assert result.verdict == verdict


def test_an_answer_that_is_no_number(exported: Path, few: Splits) -> None:
    """NaN is wrong, and as far off as a probability can be."""
    path, pixels = exported / "baseline.float32.tflite", few.test.images[:2]
    outputs = Classifier(path).predict(pixels)
    outputs[1, 0] = np.nan
    result = self_test.self_test(made_elsewhere(path, pixels, outputs))
    assert (result.verdict, result.difference) == ("wrong", 1)


def test_another_model(exported: Path, few: Splits) -> None:
    """What the int8 file answers to the same images is not taken for rounding of floats."""
    pixels = few.test.images[:20]
    outputs = Classifier(exported / "baseline.int8.tflite").predict(pixels)
    classifier = made_elsewhere(exported / "baseline.float32.tflite", pixels, outputs)
    assert self_test.self_test(classifier).verdict == "wrong"


@pytest.mark.parametrize("kind", ["none", "empty", "too few classes", "damaged"])
def test_nothing_to_test_with(kind: str, exported: Path, few: Splits) -> None:
    """A file without test vectors, or with those of another model, says so."""
    classifier = Classifier(exported / "baseline.int8.tflite")
    vectors = test_vectors.encode(few.test.images[:2], np.full((2, 9), 1 / 9, np.float32))
    kinds = {
        "none": None,
        "empty": TestVectors(pixels="", outputs=()),
        "too few classes": vectors,
        "damaged": dataclasses.replace(vectors, pixels=vectors.pixels[4:]),
    }
    classifier.metadata = dataclasses.replace(classifier.metadata, test_vectors=kinds[kind])
    with pytest.raises(ModelFileError, match="test_vectors"):
        self_test.self_test(classifier)


def test_each_precision_has_its_tolerance() -> None:
    """No file whose metadata can be read lacks a tolerance."""
    assert set(get_args(Precision)) <= set(self_test._TOLERANCES)
