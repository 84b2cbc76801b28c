"""How fast exported files are here, at a glance; ``fmx bench`` measures it properly."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from fmx_runtime.bench.latency import time_calls
from fmx_runtime.classifier import Classifier

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from fmx_export.pipeline.manifest import ExportedFile

__all__ = ["against_float"]

_ROUNDS, _CALLS, _WARM_UP = 5, 40, 5


def against_float(
    files: Sequence[ExportedFile], folder: Path, images: NDArray[np.uint8]
) -> dict[str, float]:
    """How many times as fast as the float32 file of its format each other file is.

    Args:
        files: of one export.
        folder: where they are.
        images: uint8 ``(n, height, width, channels)``, at the network's size.

    Returns:
        File name -> ratio of median times, one image at a time on one thread, taking turns; for
        files of a format whose float32 file is there.
    """
    found = {}
    for form in dict.fromkeys(file.format for file in files):
        alike = sorted(
            (file for file in files if file.format == form),
            key=lambda file: file.precision != "float32",
        )
        if alike[0].precision != "float32":
            continue
        opened = [Classifier(folder / file.file) for file in alike]
        rounds = [
            [
                time_calls(classifier.predict, images, calls=_CALLS, warmup=_WARM_UP)
                for classifier in opened
            ]
            for _ in range(_ROUNDS)
        ]
        medians = [[statistics.median(times) for times in one] for one in rounds]
        for index, file in enumerate(alike[1:], 1):
            found[file.file] = statistics.median(one[0] / one[index] for one in medians)
    return found
