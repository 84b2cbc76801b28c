from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, get_args

import numpy as np
import pytest

from fmx_runtime import Classifier, ModelFileError
from fmx_runtime.command import self_test
from fmx_runtime.model_file import metadata, test_vectors

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_training.data.dataset import Splits

NAMES = ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"]
TOLERANCES = {"float32": 1e-4, "int8": 0.1}


def with_test_vectors(
    path: Path, pixels: NDArray[np.uint8], outputs: NDArray[np.float32]
) -> Classifier:
    """Return the classifier of a file with these test vectors."""
    classifier = Classifier(path)
    vectors = test_vectors.encode(pixels, outputs)
    classifier.metadata = dataclasses.replace(classifier.metadata, test_vectors=vectors)
    return classifier


@pytest.mark.parametrize("name", NAMES)
def test_exact(name: str, exported: Path) -> None:
    """On the machine of the export, each model reproduces its test vectors to the last bit."""
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
def test_tolerance(name: str, exported: Path, splits: Splits) -> None:
    """Just below the tolerance is neither exact nor wrong, just above it is wrong."""
    path, pixels = exported / f"baseline.{name}", splits.test.images[:5]
    outputs_here = Classifier(path).predict(pixels)
    tolerance = TOLERANCES[name.split(".", maxsplit=1)[0]]
    for factor, verdict in ((0.99, "within tolerance"), (1.01, "wrong")):
        outputs = outputs_here.copy()
        outputs[2, outputs_here[2].argmax()] += np.float32(factor * tolerance)
        result = self_test.self_test(with_test_vectors(path, pixels, outputs))
        assert result.verdict == verdict
        assert result.difference == pytest.approx(factor * tolerance, rel=1e-2)
        assert (result.images, result.labels_agree) == (5, True)


@pytest.mark.parametrize(("share", "verdict"), [(0.45, "within tolerance"), (0.95, "wrong")])
def test_another_top_label(share: float, verdict: str, exported: Path, few: Splits) -> None:
    """Another top label is wrong, unless it was nearly as probable at the export."""
    path = exported / "baseline.int8.tflite"
    outputs_here = Classifier(path).predict(few.test.images)
    ranked = np.sort(outputs_here, axis=1)
    at = int((ranked[:, -1] - ranked[:, -2]).argmin())
    first, second = np.argsort(-outputs_here[at], kind="stable")[:2]
    assert outputs_here[at, first] - outputs_here[at, second] < 2 / 256
    outputs = outputs_here[at : at + 1].copy()
    outputs[0, first] -= np.float32(share * 0.1)
    outputs[0, second] += np.float32(share * 0.1)
    result = self_test.self_test(with_test_vectors(path, few.test.images[at : at + 1], outputs))
    assert not result.labels_agree
    assert result.difference < 0.1
    assert result.verdict == verdict


def test_nan(exported: Path, few: Splits) -> None:
    """NaN is wrong, with the largest possible difference."""
    path, pixels = exported / "baseline.float32.tflite", few.test.images[:2]
    outputs = Classifier(path).predict(pixels)
    outputs[1, 0] = np.nan
    result = self_test.self_test(with_test_vectors(path, pixels, outputs))
    assert (result.verdict, result.difference) == ("wrong", 1)


def test_another_model(exported: Path, few: Splits) -> None:
    """The predictions of the int8 model are wrong for the float model."""
    pixels = few.test.images[:20]
    outputs = Classifier(exported / "baseline.int8.tflite").predict(pixels)
    classifier = with_test_vectors(exported / "baseline.float32.tflite", pixels, outputs)
    assert self_test.self_test(classifier).verdict == "wrong"


@pytest.mark.parametrize("kind", ["none", "empty", "too few classes", "damaged"])
def test_no_usable_test_vectors(kind: str, exported: Path, few: Splits) -> None:
    """A file without test vectors, or with those of another model, is an error."""
    classifier = Classifier(exported / "baseline.int8.tflite")
    vectors = test_vectors.encode(few.test.images[:2], np.full((2, 9), 1 / 9, np.float32))
    kinds = {
        "none": None,
        "empty": metadata.TestVectors(pixels="", outputs=()),
        "too few classes": vectors,
        "damaged": dataclasses.replace(vectors, pixels=vectors.pixels[4:]),
    }
    classifier.metadata = dataclasses.replace(classifier.metadata, test_vectors=kinds[kind])
    with pytest.raises(ModelFileError, match="test vectors"):
        self_test.self_test(classifier)


def test_every_precision_has_a_tolerance() -> None:
    """There is a tolerance for every precision that metadata may state."""
    assert set(get_args(metadata.Precision)) <= set(self_test._TOLERANCES)
