"""Reopen an exported file in its real runtime, and hold its answers against the Keras model's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from fmx_runtime import golden
from fmx_runtime.card import Accuracy
from fmx_runtime.classifier import Classifier, softmax
from fmx_runtime.errors import ExportError
from fmx_runtime.preprocess import to_tensor

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_runtime.card import InputSpec

__all__ = [
    "LabelledPictures",
    "Reference",
    "ask_keras",
    "measure",
    "telling_pictures",
    "verify_card",
]

_TELLING, _TELLING_BYTES = 3, 100_000
_UNDECIDED = 0.6
"""A probability that a small change of the network shows in; one of 1.0 hides it."""

MAX_FLOAT_DIFFERENCE = 1e-4
"""Largest difference of a probability between Keras and a float file, which computes the same in
another order."""


class LabelledPictures(Protocol):
    """Pictures at the network's size with their labels; `fmx_training.Dataset` is one."""

    @property
    def name(self) -> str:
        """Data set and split."""

    @property
    def images(self) -> NDArray[np.uint8]:
        """uint8 ``(n, height, width, channels)``."""

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """int64 ``(n,)``; None where nobody knows what is on the pictures."""


@dataclass(frozen=True)
class Reference:
    """What the Keras model answers to held-out pictures.

    Attributes:
        pictures: that were asked.
        output: what the model's own output means.
        probabilities: float32 ``(n, classes)``.
    """

    pictures: LabelledPictures
    output: Literal["probabilities", "logits"]
    probabilities: NDArray[np.float32]


def ask_keras(model: Any, spec: InputSpec, pictures: LabelledPictures) -> Reference:
    """Run the Keras model over the pictures, through the preprocessing of the device.

    Whether the model gives probabilities or logits is read off its answers: probabilities are
    those that are all between 0 and 1 and sum to 1.

    Raises:
        ExportError: it answers NaN or infinity.
    """
    answers = model.predict(to_tensor(pictures.images, spec), batch_size=256, verbose=0)
    _refuse_no_numbers("the Keras model", answers, pictures)
    sums_to_one = np.allclose(answers.sum(axis=1), 1, atol=1e-3)
    if sums_to_one and answers.min() >= 0:
        return Reference(pictures, "probabilities", answers)
    return Reference(pictures, "logits", softmax(answers))


def measure(path: Path, reference: Reference) -> Accuracy:
    """Compare a file's answers in its real runtime with the Keras model's.

    Raises:
        ExportError: a float32 file differs by more than `MAX_FLOAT_DIFFERENCE`, or the file
            answers NaN or infinity.
    """
    classifier = Classifier(path)
    pictures, expected = reference.pictures, reference.probabilities
    answers = classifier.predict(pictures.images)
    _refuse_no_numbers(path.name, answers, pictures)
    difference = float(np.abs(answers - expected).max())
    if classifier.card.precision == "float32" and difference > MAX_FLOAT_DIFFERENCE:
        raise ExportError(
            f"{path.name}: a probability differs by {difference:.2g} from the Keras model's, "
            f"at most {MAX_FLOAT_DIFFERENCE:g} is the converter's rounding; not published"
        )
    called, labels = answers.argmax(axis=1), pictures.labels
    return Accuracy(
        keras=None if labels is None else _fraction(expected.argmax(axis=1) == labels),
        file=None if labels is None else _fraction(called == labels),
        agreement=_fraction(called == expected.argmax(axis=1)),
        data=pictures.name,
        size=len(pictures.images),
    )


def telling_pictures(reference: Reference) -> NDArray[np.uint8]:
    """Pictures whose answers give a changed network away, to travel in the file with them.

    Those of which Keras is half sure, each with another label; three, or fewer where that many
    would take more than 100 KB.

    Returns:
        uint8 ``(n, height, width, channels)``, n at least 1.
    """
    images, probabilities = reference.pictures.images, reference.probabilities
    at_most = max(1, min(_TELLING, _TELLING_BYTES // images[0].nbytes))
    called = probabilities.argmax(axis=1)
    undecided_first = np.argsort(np.abs(probabilities.max(axis=1) - _UNDECIDED), kind="stable")
    _, first_of_label = np.unique(called[undecided_first], return_index=True)
    chosen = undecided_first[np.sort(first_of_label)[:at_most]]
    return images[chosen]


def verify_card(path: Path) -> None:
    """Open a finished file once more and have it answer its own golden inputs exactly.

    Raises:
        ExportError: it answers otherwise.
        ModelFileError: it cannot be opened.
    """
    classifier = Classifier(path)
    card = classifier.card
    if card.golden is None:
        raise ExportError(f"{path.name}: carries no golden vectors")
    pixels, expected = golden.decode(card.golden, card.input.shape)
    if not np.array_equal(classifier.predict(pixels), expected):
        raise ExportError(f"{path.name}: answers its golden inputs otherwise when it is reopened")


def _refuse_no_numbers(who: str, answers: NDArray[np.float32], pictures: LabelledPictures) -> None:
    broken = np.count_nonzero(~np.isfinite(answers).all(axis=1))
    if broken:
        raise ExportError(
            f"{who} answers NaN or infinity to {broken:,} of {len(answers):,} pictures of "
            f"{pictures.name}; not published"
        )


def _fraction(hits: NDArray[np.bool_]) -> float:
    return float(np.mean(hits))
