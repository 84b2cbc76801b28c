"""With tflite-runtime 2.14, as on 32-bit Raspberry Pi OS: its kernels round alike everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_runtime import Classifier
from fmx_runtime.command.self_test import self_test

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("tflite_runtime", reason="another device has it")

BACKEND = "tflite-runtime"


def test_int8_answers_are_the_same_bits(here: Path) -> None:
    """200 real images have the very probabilities that x86 gives with this interpreter."""
    with np.load(here / "old_answers.npz") as arrays:
        expected = arrays["int8.tflite"]
    with np.load(here / "images.npz") as arrays:
        images = arrays["images"]
    path = here / "exported" / "baseline.int8.tflite"
    classifier = Classifier(path, backend=BACKEND)
    assert classifier.backend == "tflite-runtime 2.14.0"
    assert np.array_equal(classifier.predict(images), expected)


def test_float_answers_are_near(here: Path) -> None:
    """The float file's are those of the newer interpreter on x86, to rounding."""
    with np.load(here / "answers.npz") as arrays:
        expected = arrays["float32.tflite"]
    with np.load(here / "images.npz") as arrays:
        images = arrays["images"]
    path = here / "exported" / "baseline.float32.tflite"
    answers = Classifier(path, backend=BACKEND).predict(images)
    assert np.abs(answers - expected).max() < 2e-6


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_a_file_proves_itself(precision: str, here: Path) -> None:
    """The files' own images are answered within tolerance."""
    path = here / "exported" / f"baseline.{precision}.tflite"
    assert self_test(Classifier(path, backend=BACKEND)).verdict != "wrong"
