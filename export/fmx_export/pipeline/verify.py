"""Verify an exported file in its real runtime against the Keras model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fmx_export.source.reference_predictions import check_finite
from fmx_runtime.classifier import Classifier
from fmx_runtime.errors import ExportError
from fmx_runtime.model_file import test_vectors
from fmx_runtime.model_file.metadata import Accuracy

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_export.source.reference_predictions import Reference

__all__ = ["MAX_FLOAT_DIFFERENCE", "measure", "verify_metadata"]

MAX_FLOAT_DIFFERENCE = 1e-4
"""Largest allowed difference of a probability between the Keras model and a float32 file. Both
compute the same sums, but in another order."""


def measure(path: Path, reference: Reference) -> Accuracy:
    """Run a file in its real runtime, and compare its predictions with the Keras model's.

    Args:
        path: a model file with metadata.
        reference: the Keras model's predictions on the validation images.

    Returns:
        The accuracies of the Keras model and of the file, None without labels, and the share of
        images with the same predicted label.

    Raises:
        ExportError: a probability of a float32 file differs by more than
            `MAX_FLOAT_DIFFERENCE`, or the file returns NaN or infinity.
        ModelFileError: the file cannot be opened.
    """
    classifier = Classifier(path)
    images, expected = reference.images, reference.probabilities
    probabilities = classifier.predict(images.images)
    check_finite(path.name, probabilities, images)
    difference = float(np.abs(probabilities - expected).max())
    if classifier.metadata.precision == "float32" and difference > MAX_FLOAT_DIFFERENCE:
        raise ExportError(
            f"{path.name}: a probability differs by {difference:.2g} from the Keras model's, "
            f"at most {MAX_FLOAT_DIFFERENCE:g} is allowed; the conversion is wrong, not exported"
        )
    predicted, keras_predicted = probabilities.argmax(axis=1), expected.argmax(axis=1)
    labels = images.labels
    return Accuracy(
        keras=None if labels is None else _share(keras_predicted == labels),
        file=None if labels is None else _share(predicted == labels),
        agreement=_share(predicted == keras_predicted),
        data=images.name,
        size=len(images.images),
    )


def verify_metadata(path: Path) -> None:
    """Open a finished file again, and check that it reproduces its own test vectors exactly.

    Raises:
        ExportError: a probability differs, or the file has no test vectors.
        ModelFileError: the file cannot be opened.
    """
    classifier = Classifier(path)
    metadata = classifier.metadata
    if metadata.test_vectors is None:
        raise ExportError(f"{path.name} has no test vectors")
    pixels, expected = test_vectors.decode(metadata.test_vectors, metadata.input.shape)
    if not np.array_equal(classifier.predict(pixels), expected):
        raise ExportError(f"{path.name} does not reproduce its test vectors; not exported")


def _share(matches: NDArray[np.bool_]) -> float:
    return float(np.mean(matches))
