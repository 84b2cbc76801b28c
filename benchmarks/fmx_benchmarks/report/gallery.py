"""Images on which two models disagree, as PNG data that a page can carry inside itself."""

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

__all__ = ["Exhibit", "disagreements"]


@dataclass(frozen=True)
class Exhibit:
    """One image, the truth, and both answers with their scores, 0 to 1."""

    number: int
    source: str
    """``data:image/png;base64,...``"""
    truth: str
    reference: str
    reference_score: float
    answer: str
    answer_score: float

    @property
    def verdict(self) -> str:
        """``gained``, ``lost`` or ``both wrong``."""
        if self.answer == self.truth:
            return "gained"
        return "lost" if self.reference == self.truth else "both wrong"


def disagreements(
    analysis: Analysis, variant: Variant, images: NDArray[np.uint8], most: int
) -> tuple[Exhibit, ...]:
    """Images that a model answers otherwise than the reference, the surest answers first.

    Args:
        analysis: of a run on ``images``.
        variant: the model.
        images: uint8 ``(n, height, width, 1 or 3)``.
        most: how many at most.
    """
    differing, result = analysis.disagreements(variant), analysis.result
    reference, names = analysis.reference, result.class_names
    surest = sorted(differing.tolist(), key=lambda i: -min(variant.scores[i], reference.scores[i]))
    return tuple(
        Exhibit(
            number=index,
            source=_png(images[index]),
            truth=names[result.labels[index]],
            reference=names[reference.answers[index]],
            reference_score=reference.scores[index],
            answer=names[variant.answers[index]],
            answer_score=variant.scores[index],
        )
        for index in surest[:most]
    )


def _png(pixels: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
