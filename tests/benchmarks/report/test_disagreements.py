"""Images on which two models disagree."""

from __future__ import annotations

import base64
import dataclasses
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fmx_benchmarks.report.disagreements import find_disagreements
from fmx_benchmarks.statistics.analysis import Analysis

if TYPE_CHECKING:
    from fmx_training.data.dataset import Dataset


def test_images_are_those_that_differ(analysis: Analysis, images: Dataset) -> None:
    """Each is an image that both models predict differently, with its own pixels."""
    for variant in analysis.variants:
        shown = find_disagreements(analysis, variant, images.images, 5)
        assert len(shown) == min(5, len(analysis.disagreements(variant)))
        for one in shown:
            assert one.prediction != one.reference_prediction
            data = base64.b64decode(one.source.removeprefix("data:image/png;base64,"))
            with Image.open(io.BytesIO(data)) as image:
                assert np.array_equal(np.asarray(image), images.images[one.index, :, :, 0])


def test_verdicts(analysis: Analysis, images: Dataset) -> None:
    """Gained, lost and both wrong are told apart, and add up to the difference."""
    variant = analysis.variants[3]
    forged = dataclasses.replace(
        variant, predictions=tuple((prediction + 1) % 10 for prediction in variant.predictions)
    )
    run = dataclasses.replace(analysis.run, variants=(*analysis.variants[:3], forged))
    changed = Analysis(analysis.result, run)
    shown = find_disagreements(changed, forged, images.images, 300)
    difference = changed.difference(forged)
    verdicts = [one.verdict for one in shown]
    assert verdicts.count("gained") == difference.gained
    assert verdicts.count("lost") == difference.lost
    assert set(verdicts) == {"gained", "lost", "both wrong"}
