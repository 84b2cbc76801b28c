"""Prints how often a model is right on photographs: seen whole, and with the garment found first.

    python tools/photo_accuracy.py exports/baseline/baseline.int8.tflite ../shared/photos/validation

The folder holds one folder of photographs per kind of garment, named as below; kinds that
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
from fmx_runtime.preprocess import to_pixels
from fmx_training.image_folder import pictures_below
from fmx_training.photographs import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmx_runtime.card import InputSpec


def main(model: Path, folder: Path) -> None:
    """Answer all photographs in both ways, print the table."""
    classifier = Classifier(model)
    specs = [
        dataclasses.replace(classifier.card.input, subject="whole"),
        dataclasses.replace(classifier.card.input, subject="garment"),
    ]
    print("| kind | photographs | seen whole | garment found |\n| --- | ---: | ---: | ---: |")
    shares = []
    for kind, right in KINDS.items():
        photographs = pictures_below(folder / kind)
        shares.append([accuracy(classifier, photographs, spec, right) for spec in specs])
        print(_row(kind, str(len(photographs)), shares[-1]))
    print(_row("*mean of the kinds*", "", np.mean(shares, axis=0)))


def accuracy(
    classifier: Classifier, photographs: Sequence[Path], spec: InputSpec, right: tuple[str, ...]
) -> float:
    """The share of photographs that get a right label."""
    pixels = np.stack([to_pixels(path, spec) for path in photographs])
    best = classifier.predict(pixels).argmax(axis=1)
    return float(np.mean([classifier.card.labels[index] in right for index in best]))


def _row(kind: str, count: str, shares: Sequence[float]) -> str:
    return f"| {kind} | {count} | {' | '.join(f'{share:.1%}' for share in shares)} |"


if __name__ == "__main__":
    if len(sys.argv) != 3:  # noqa: PLR2004
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
