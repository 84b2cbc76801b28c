"""Prints how often a model is right on photos: seen whole, and with the garment found first.

    python tools/photo_accuracy.py exports/baseline/baseline.int8.tflite ../shared/photos/validation

The folder holds one folder of photos per kind of garment, named as below; kinds that
Fashion-MNIST does not know are passed over. A network that has only seen Fashion-MNIST knows
garments as shops show them, so part of what it misses here is not the finder's.
"""

# ruff: noqa: INP001, T201 (a script that prints, no package)

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fmx_runtime import Classifier
from fmx_runtime.images.preprocess import to_pixels
from fmx_runtime.labeled_images import image_files
from fmx_training.data.clothing_photos import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmx_runtime.model_file.metadata import InputSpec


def main(model: Path, folder: Path) -> None:
    """Answer all photos in both ways, print the table."""
    classifier = Classifier(model)
    specs = [
        dataclasses.replace(classifier.metadata.input, subject="whole"),
        dataclasses.replace(classifier.metadata.input, subject="garment"),
    ]
    print("| kind | photos | seen whole | garment found |\n| --- | ---: | ---: | ---: |")
    shares = []
    for kind, right in KINDS.items():
        photos = image_files(folder / kind)
        shares.append([accuracy(classifier, photos, spec, right) for spec in specs])
        print(_row(kind, str(len(photos)), shares[-1]))
    print(_row("*mean of the kinds*", "", np.mean(shares, axis=0)))


def accuracy(
    classifier: Classifier, photos: Sequence[Path], spec: InputSpec, right: tuple[str, ...]
) -> float:
    """The share of photos that get a right label."""
    pixels = np.stack([to_pixels(path, spec) for path in photos])
    best = classifier.predict(pixels).argmax(axis=1)
    return float(np.mean([classifier.metadata.labels[index] in right for index in best]))


def _row(kind: str, count: str, shares: Sequence[float]) -> str:
    return f"| {kind} | {count} | {' | '.join(f'{share:.1%}' for share in shares)} |"


if __name__ == "__main__":
    if len(sys.argv) != 3:  # noqa: PLR2004
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
