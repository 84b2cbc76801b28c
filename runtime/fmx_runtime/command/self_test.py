"""Test a model file on this machine with the test vectors in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from fmx_runtime.errors import ModelFileError
from fmx_runtime.model_file import test_vectors

if TYPE_CHECKING:
    from fmx_runtime.classifier import Classifier

__all__ = ["SelfTest", "Verdict", "self_test"]

_TOLERANCES = {
    "float32": 1e-4,  # the same sums in another order; measured 1e-6
    "float16": 1e-2,  # an interpreter may compute in half precision; measured 1e-6 otherwise
    "int8": 0.1,  # one step of the logits, somewhere in the network; measured 1.2e-2
    "int16x8": 1e-3,  # smaller steps; measured 2.5e-4
    "dynamic": 1e-2,  # activations are quantized, results are not; measured 5e-4
}
"""The largest allowed difference of a probability from the one at export, by precision.

Measured between versions of TFLite's interpreter and between their kernels. For int8 the images are
those that export selects, for which both kinds of kernels nearly agree; on 2,000 to 20,000 other
images, networks of 10, 23 and 68 operators differed by up to 0.05, 0.08 and 0.35.
"""

Verdict = Literal["exact", "within tolerance", "wrong"]
"""See `SelfTest.verdict`."""


@dataclass(frozen=True)
class SelfTest:
    """The outcome of a self-test.

    Attributes:
        verdict: ``exact`` if all probabilities are equal to the last bit; ``within tolerance`` if
            they differ as other interpreters or processors may round; ``wrong`` if a probability
            differs by more, or if another label is clearly on top rather than one of two that are
            nearly equal.
        difference: the largest difference of a probability, 0 to 1; 1 for NaN and infinity.
        tolerance: the largest allowed difference for the precision of the model.
        images: number of test vectors.
        labels_agree: whether the top label of each test vector is the same.
        backend: name and version of the interpreter.
    """

    verdict: Verdict
    difference: float
    tolerance: float
    images: int
    labels_agree: bool
    backend: str


def self_test(classifier: Classifier) -> SelfTest:
    """Compare the predictions for the test vectors in a model file with those from the export.

    Raises:
        ModelFileError: the file contains no test vectors, or they do not fit the model.
    """
    metadata = classifier.metadata
    if metadata.test_vectors is None or not metadata.test_vectors.outputs:
        raise ModelFileError("contains no test vectors: export the model again")
    pixels, expected = test_vectors.decode(metadata.test_vectors, metadata.input.shape)
    if expected.shape != (len(pixels), len(metadata.labels)):
        raise ModelFileError("its test vectors do not fit its labels: export the model again")
    actual = classifier.predict(pixels)
    tolerance = _TOLERANCES[metadata.precision]
    difference = float(np.nan_to_num(np.abs(actual - expected), nan=1, posinf=1).max())
    expected_top, actual_top = expected.argmax(axis=1), actual.argmax(axis=1)
    rows = np.arange(len(pixels))
    # at export, how much more probable its top label was than this machine's top label
    lead = float((expected[rows, expected_top] - expected[rows, actual_top]).max())
    verdict: Verdict = "within tolerance"
    if np.array_equal(actual, expected):
        verdict = "exact"
    elif max(difference, lead) > tolerance:
        verdict = "wrong"
    return SelfTest(
        verdict=verdict,
        difference=difference,
        tolerance=tolerance,
        images=len(pixels),
        labels_agree=bool((expected_top == actual_top).all()),
        backend=classifier.backend,
    )
