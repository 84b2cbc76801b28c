"""A model file proves itself on this machine: its test vectors, and the answers they must get."""

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
    "float16": 1e-2,  # an interpreter may compute in half precision; 1e-6 where it does not
    "int8": 0.1,  # one step of the logits, more here and less there; measured 1.2e-2
    "int16x8": 1e-3,  # finer steps; measured 2.5e-4
    "dynamic": 1e-2,  # sums of pixels rounded to 8 bits, not the answers; measured 5e-4
}
"""By precision: how far a probability may lie from the one that was given where the file was made.

Measured between versions, and between kernels, of TFLite's interpreter. Of int8, on the images
that export chooses, which both sorts of kernels answer nearly alike; on any of 2,000 to 20,000 held
out, networks of 10, 23 and 68 operators were up to 0.05, 0.08 and 0.35 apart.
"""

Verdict = Literal["exact", "within tolerance", "wrong"]
"""See `SelfTest.verdict`."""


@dataclass(frozen=True)
class SelfTest:
    """What a file answered to its test vectors.

    Attributes:
        verdict: ``exact``, to the last bit; ``within tolerance``, as another interpreter or
            processor may round; ``wrong``, if a probability lies further off, or if another label
            is clearly on top, not merely one of two that are equally probable.
        difference: largest one of a probability, 0 to 1; 1 for an answer that is no number.
        tolerance: of the difference, for the file's precision.
        images: number of test vectors.
        labels_agree: whether each has the same label on top.
        backend: name and version of the interpreter.
    """

    verdict: Verdict
    difference: float
    tolerance: float
    images: int
    labels_agree: bool
    backend: str


def self_test(classifier: Classifier) -> SelfTest:
    """Ask a file its test vectors.

    Raises:
        ModelFileError: it carries none, or they do not fit the model.
    """
    metadata = classifier.metadata
    if metadata.test_vectors is None or not metadata.test_vectors.outputs:
        raise ModelFileError("carries no test vectors to test itself with; export it again")
    pixels, expected = test_vectors.decode(metadata.test_vectors, metadata.input.shape)
    if expected.shape != (len(pixels), len(metadata.labels)):
        raise ModelFileError("the expected outputs do not fit the labels; export it again")
    answers = classifier.predict(pixels)
    tolerance = _TOLERANCES[metadata.precision]
    difference = float(np.nan_to_num(np.abs(answers - expected), nan=1, posinf=1).max())
    best, found = expected.argmax(axis=1), answers.argmax(axis=1)
    rows = np.arange(len(pixels))
    # how much less probable what is on top here was where the file was made
    lead = float((expected[rows, best] - expected[rows, found]).max())
    verdict: Verdict = "within tolerance"
    if np.array_equal(answers, expected):
        verdict = "exact"
    elif max(difference, lead) > tolerance:
        verdict = "wrong"
    return SelfTest(
        verdict=verdict,
        difference=difference,
        tolerance=tolerance,
        images=len(pixels),
        labels_agree=bool((best == found).all()),
        backend=classifier.backend,
    )
