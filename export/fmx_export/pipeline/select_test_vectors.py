"""Select the images that are stored in a model file as its test vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fmx_export.source.reference_predictions import Reference
from fmx_export.tflite.kernels import kernel_difference

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["select_stable_test_vectors", "select_test_vectors"]

_MAX_IMAGES = 3
_MAX_BYTES = 100_000
_SENSITIVE_PROBABILITY = 0.6
"""A probability that shows a small change of the network; one close to 1 hides it."""

_CANDIDATES = 200
"""Images on which the outputs of two implementations of the kernels are compared."""
_STABLE_SHARE = 4
"""One in so many of the candidates is kept: those whose outputs differ least."""


@dataclass(frozen=True)
class _UnlabeledImages:
    """Images without labels; a `ValidationImages`."""

    name: str
    images: NDArray[np.uint8]
    labels: None = None


def select_test_vectors(reference: Reference) -> NDArray[np.uint8]:
    """Return the validation images whose predictions are most sensitive to changes of the network.

    These are images for which the Keras model's top probability is near 0.6, each with another
    predicted label. There are three, or fewer where three would take more than 100 kB.

    Args:
        reference: the Keras model's predictions on the validation images.

    Returns:
        uint8 ``(n, height, width, channels)``, n from 1 to 3.
    """
    images, probabilities = reference.images.images, reference.probabilities
    count = max(1, min(_MAX_IMAGES, _MAX_BYTES // images[0].nbytes))
    predicted = probabilities.argmax(axis=1)
    distance = np.abs(probabilities.max(axis=1) - _SENSITIVE_PROBABILITY)
    most_sensitive = np.argsort(distance, kind="stable")
    _, first_of_label = np.unique(predicted[most_sensitive], return_index=True)
    chosen = most_sensitive[np.sort(first_of_label)[:count]]
    return images[chosen]


def select_stable_test_vectors(reference: Reference, model: bytes) -> NDArray[np.uint8]:
    """Return test vectors of an int8 TFLite file that are the same on old and new interpreters.

    Current interpreters run quantized layers with XNNPACK, older ones with TFLite's built-in
    kernels, which round differently. An image whose outputs differ between the two would report
    an older interpreter as a damaged file. So the images with the closest top two probabilities
    are run with both, and those whose outputs differ least are kept.

    Args:
        reference: the Keras model's predictions on the validation images.
        model: the int8 TFLite model.

    Returns:
        uint8 ``(n, height, width, channels)``, n from 1 to 3.
    """
    images, probabilities = reference.images, reference.probabilities
    top_two = np.sort(probabilities, axis=1)[:, -2:]
    close = np.argsort(np.ptp(top_two, axis=1), kind="stable")[:_CANDIDATES]
    difference = kernel_difference(model, images.images[close])
    count = max(len(close) // _STABLE_SHARE, _MAX_IMAGES)
    stable = close[np.argsort(difference, kind="stable")[:count]]
    return select_test_vectors(
        Reference(
            _UnlabeledImages(images.name, images.images[stable]),
            reference.output,
            probabilities[stable],
        )
    )
