"""Print the accuracy of a model on photos of clothes, with and without garment segmentation.

    python tools/photo_accuracy.py exports/baseline/baseline.int8.tflite PHOTOS

PHOTOS holds one folder per kind of garment, named as in `fmx_training.data.clothing_photos.KINDS`.
A network that was only trained on Fashion-MNIST knows garments as a shop's catalog shows them, so
not every error is due to the segmentation.
"""

from __future__ import annotations

import argparse
import dataclasses
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


def main() -> None:
    """Run the tool."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, metavar="MODEL", help="TFLite or ONNX file")
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help="folder of photos")
    options = parser.parse_args()
    print_table(options.model, options.photos)


def print_table(model: Path, photos: Path) -> None:
    """Classify all photos both ways and print the accuracies as a Markdown table."""
    classifier = Classifier(model)
    specs = [
        dataclasses.replace(classifier.metadata.input, subject="whole"),
        dataclasses.replace(classifier.metadata.input, subject="garment"),
    ]
    print("| kind | photos | whole photo | garment segmented |\n| --- | ---: | ---: | ---: |")
    accuracies = []
    for kind, correct in KINDS.items():
        paths = image_files(photos / kind)
        accuracies.append([accuracy(classifier, paths, spec, correct) for spec in specs])
        print(_row(kind, str(len(paths)), accuracies[-1]))
    print(_row("*mean of the kinds*", "", np.mean(accuracies, axis=0)))


def accuracy(
    classifier: Classifier, photos: Sequence[Path], spec: InputSpec, correct: tuple[str, ...]
) -> float:
    """Return the fraction of photos whose predicted label is one of the correct ones.

    Args:
        classifier: the model.
        photos: image files, one or more.
        spec: how they are preprocessed.
        correct: the labels that are correct for these photos.
    """
    pixels = np.stack([to_pixels(path, spec) for path in photos])
    predictions = classifier.predict(pixels).argmax(axis=1)
    return float(np.mean([classifier.metadata.labels[index] in correct for index in predictions]))


def _row(kind: str, count: str, accuracies: Sequence[float]) -> str:
    return f"| {kind} | {count} | {' | '.join(f'{value:.1%}' for value in accuracies)} |"


if __name__ == "__main__":
    main()
