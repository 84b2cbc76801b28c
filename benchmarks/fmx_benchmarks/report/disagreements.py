"""Images on which two models disagree, as PNG data that an HTML page can hold."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fmx_benchmarks.statistics.analysis import Analysis
    from fmx_runtime.bench.result import Variant

__all__ = ["Disagreement", "find_disagreements"]


@dataclass(frozen=True)
class Disagreement:
    """An image on which a model and the reference disagree.

    Attributes:
        index: the image's number.
        source: the image as ``data:image/png;base64,…``.
        label: the true label.
        reference_prediction: the label that the reference predicts.
        reference_score: its score, 0 to 1.
        prediction: the label that the model predicts.
        score: its score, 0 to 1.
    """

    index: int
    source: str
    label: str
    reference_prediction: str
    reference_score: float
    prediction: str
    score: float

    @property
    def verdict(self) -> str:
        """``gained``, ``lost`` or ``both wrong``."""
        if self.prediction == self.label:
            return "gained"
        return "lost" if self.reference_prediction == self.label else "both wrong"


def find_disagreements(
    analysis: Analysis, variant: Variant, images: NDArray[np.uint8], limit: int
) -> tuple[Disagreement, ...]:
    """Return the images on which a model and the reference disagree with the highest scores.

    Args:
        analysis: of a run on ``images``.
        variant: the model.
        images: uint8 ``(n, height, width, 1 or 3)``.
        limit: the most images to return.
    """
    differing, result = analysis.disagreements(variant), analysis.result
    reference, names = analysis.reference, result.class_names
    by_score = sorted(
        differing.tolist(), key=lambda index: -min(variant.scores[index], reference.scores[index])
    )
    return tuple(
        Disagreement(
            index=index,
            source=_to_data_url(images[index]),
            label=names[result.labels[index]],
            reference_prediction=names[reference.predictions[index]],
            reference_score=reference.scores[index],
            prediction=names[variant.predictions[index]],
            score=variant.scores[index],
        )
        for index in by_score[:limit]
    )


def _to_data_url(pixels: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
