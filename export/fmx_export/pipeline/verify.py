"""Reopen an exported file in its real runtime, and hold its answers against the Keras model's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fmx_export.source.reference import check_finite
from fmx_runtime.classifier import Classifier
from fmx_runtime.errors import ExportError
from fmx_runtime.model_file import test_vectors
from fmx_runtime.model_file.metadata import Accuracy

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_export.source.reference import Reference

__all__ = ["measure", "select_test_vectors", "verify_metadata"]

_TELLING, _TELLING_BYTES = 3, 100_000
_UNDECIDED = 0.6
"""A probability that a small change of the network shows in; one of 1.0 hides it."""

MAX_FLOAT_DIFFERENCE = 1e-4
"""Largest difference of a probability between Keras and a float file, which computes the same in
another order."""


def measure(path: Path, reference: Reference) -> Accuracy:
    """Compare a file's answers in its real runtime with the Keras model's.

    Raises:
        ExportError: a float32 file differs by more than `MAX_FLOAT_DIFFERENCE`, or the file
            answers NaN or infinity.
    """
    classifier = Classifier(path)
    images, expected = reference.images, reference.probabilities
    answers = classifier.predict(images.images)
    check_finite(path.name, answers, images)
    difference = float(np.abs(answers - expected).max())
    if classifier.metadata.precision == "float32" and difference > MAX_FLOAT_DIFFERENCE:
        raise ExportError(
            f"{path.name}: a probability differs by {difference:.2g} from the Keras model's, "
            f"at most {MAX_FLOAT_DIFFERENCE:g} is the converter's rounding; not published"
        )
    called, labels = answers.argmax(axis=1), images.labels
    return Accuracy(
        keras=None if labels is None else _fraction(expected.argmax(axis=1) == labels),
        file=None if labels is None else _fraction(called == labels),
        agreement=_fraction(called == expected.argmax(axis=1)),
        data=images.name,
        size=len(images.images),
    )


def select_test_vectors(reference: Reference) -> NDArray[np.uint8]:
    """Images whose answers give a changed network away, to travel in the file with them.

    Those of which Keras is half sure, each with another label; three, or fewer where that many
    would take more than 100 KB.

    Returns:
        uint8 ``(n, height, width, channels)``, n at least 1.
    """
    images, probabilities = reference.images.images, reference.probabilities
    at_most = max(1, min(_TELLING, _TELLING_BYTES // images[0].nbytes))
    called = probabilities.argmax(axis=1)
    undecided_first = np.argsort(np.abs(probabilities.max(axis=1) - _UNDECIDED), kind="stable")
    _, first_of_label = np.unique(called[undecided_first], return_index=True)
    chosen = undecided_first[np.sort(first_of_label)[:at_most]]
    return images[chosen]


def verify_metadata(path: Path) -> None:
    """Open a finished file once more and have it answer its own test vectors exactly.

    Raises:
        ExportError: it answers otherwise.
        ModelFileError: it cannot be opened.
    """
    classifier = Classifier(path)
    metadata = classifier.metadata
    if metadata.test_vectors is None:
        raise ExportError(f"{path.name}: carries no test vectors")
    pixels, expected = test_vectors.decode(metadata.test_vectors, metadata.input.shape)
    if not np.array_equal(classifier.predict(pixels), expected):
        raise ExportError(f"{path.name}: answers its test vectors otherwise when it is reopened")


def _fraction(hits: NDArray[np.bool_]) -> float:
    return float(np.mean(hits))
