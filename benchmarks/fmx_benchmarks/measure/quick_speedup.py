"""A quick estimate of speed-ups after an export; ``fmx bench`` measures them properly."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, NamedTuple

from fmx_runtime.bench.latency import time_calls
from fmx_runtime.classifier import Classifier

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ModelFile", "quick_speedups"]

_REPEATS = 5
_ITERATIONS = 40
_WARMUP = 5


class ModelFile(NamedTuple):
    """A model file with its format and precision."""

    path: Path
    format: str
    precision: str


def quick_speedups(files: Sequence[ModelFile], images: NDArray[np.uint8]) -> dict[str, float]:
    """Return how many times as fast as the float32 file of its format each other file is.

    Args:
        files: of one model.
        images: uint8 ``(n, height, width, channels)`` in the model's input shape.

    Returns:
        File name -> median over the repeats of the ratio of the median latencies, with one image
        at a time on one thread, the files taking turns. Formats without a float32 file are left
        out.
    """
    speedups = {}
    for form in dict.fromkeys(file.format for file in files):
        same_format = [file for file in files if file.format == form]
        same_format.sort(key=lambda file: file.precision != "float32")
        if same_format[0].precision != "float32":
            continue
        classifiers = [Classifier(file.path) for file in same_format]
        medians = [
            [
                statistics.median(
                    time_calls(classifier.predict, images, iterations=_ITERATIONS, warmup=_WARMUP)
                )
                for classifier in classifiers
            ]
            for _ in range(_REPEATS)
        ]
        for index, file in enumerate(same_format[1:], 1):
            speedups[file.path.name] = statistics.median(row[0] / row[index] for row in medians)
    return speedups
