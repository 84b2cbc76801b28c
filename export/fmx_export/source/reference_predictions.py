"""The Keras model's own predictions, which every exported file is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from fmx_runtime.classifier import softmax
from fmx_runtime.errors import ExportError
from fmx_runtime.images.preprocess import to_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmx_runtime.model_file.metadata import InputSpec

__all__ = ["Reference", "ValidationImages", "check_finite", "predict_reference"]

_BATCH_SIZE = 256


class ValidationImages(Protocol):
    """Images in the network's size with their labels, such as an `fmx_training` ``Dataset``."""

    @property
    def name(self) -> str:
        """Name of the data set and split."""

    @property
    def images(self) -> NDArray[np.uint8]:
        """uint8 ``(n, height, width, channels)``."""

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """int64 ``(n,)``; None where the images have no labels."""


@dataclass(frozen=True)
class Reference:
    """The Keras model's predictions on the validation images.

    Attributes:
        images: the validation images.
        output: what the model's own output holds.
        probabilities: float32 ``(n, classes)``.
    """

    images: ValidationImages
    output: Literal["probabilities", "logits"]
    probabilities: NDArray[np.float32]


def predict_reference(model: Any, spec: InputSpec, images: ValidationImages) -> Reference:
    """Run the Keras model on the images, with the preprocessing of the device.

    The output counts as probabilities if no value is negative and each row sums to 1, and as
    logits otherwise.

    Args:
        model: built Keras model.
        spec: its input.
        images: uint8 images in the size of its input.

    Raises:
        ExportError: an output is NaN or infinite.
    """
    outputs = model.predict(to_tensor(images.images, spec), batch_size=_BATCH_SIZE, verbose=0)
    check_finite("the Keras model", outputs, images)
    sums_to_one = np.allclose(outputs.sum(axis=1), 1, atol=1e-3)
    if sums_to_one and outputs.min() >= 0:
        return Reference(images, "probabilities", outputs)
    return Reference(images, "logits", softmax(outputs))


def check_finite(model: str, outputs: NDArray[np.float32], images: ValidationImages) -> None:
    """Check that no output is NaN or infinite.

    Args:
        model: name of the model, for the message.
        outputs: float32 ``(n, classes)``.
        images: those that the outputs belong to.

    Raises:
        ExportError: an output is NaN or infinite.
    """
    broken = np.count_nonzero(~np.isfinite(outputs).all(axis=1))
    if broken:
        raise ExportError(
            f"{model} returns NaN or infinity for {broken:,} of {len(outputs):,} images of "
            f"{images.name}; not exported"
        )
