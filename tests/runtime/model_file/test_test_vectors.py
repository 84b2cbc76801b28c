from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from fmx_runtime.classifier import Classifier
from fmx_runtime.errors import ModelFileError
from fmx_runtime.model_file import test_vectors

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

PIXELS = np.arange(2 * 3 * 4 * 1, dtype=np.uint8).reshape(2, 3, 4, 1)
OUTPUTS = np.array([[0.1, 0.9], [1.0, 0.0]], np.float32)


@given(
    npst.arrays(np.uint8, npst.array_shapes(min_dims=4, max_dims=4, max_side=5)),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_round_trip(pixels: NDArray[np.uint8], classes: int, random: object) -> None:
    """Pixels and outputs are unchanged after packing and unpacking, bit for bit."""
    rows = [[random.random() for _ in range(classes)] for _ in pixels]  # type: ignore[attr-defined]
    outputs = np.array(rows, np.float32)
    again, answers = test_vectors.decode(test_vectors.encode(pixels, outputs), pixels.shape[1:])
    assert np.array_equal(again, pixels)
    assert np.array_equal(answers, outputs)
    assert (again.dtype, answers.dtype) == (np.uint8, np.float32)


def test_memory_layout_does_not_matter() -> None:
    """Pixels in another memory order are packed to the same text."""
    assert test_vectors.encode(np.asfortranarray(PIXELS), OUTPUTS) == test_vectors.encode(
        PIXELS, OUTPUTS
    )


@pytest.mark.parametrize(
    "change",
    [
        {"pixels": "no base64!"},
        {"pixels": "ä"},
        {"pixels": "AAAA"},
        {"pixels": ""},
        {"pixels": test_vectors.encode(PIXELS, OUTPUTS).pixels[:-16]},
        {"pixels": test_vectors.encode(PIXELS[:1], OUTPUTS).pixels},
        {"outputs": ()},
        {"outputs": ((0.1, 0.9), (1.0,))},
    ],
)
def test_damaged_vectors_are_refused(change: dict[str, object]) -> None:
    """Text that was not packed, or does not fit the shape, is a ModelFileError."""
    damaged = replace(test_vectors.encode(PIXELS, OUTPUTS), **change)  # type: ignore[arg-type]
    with pytest.raises(ModelFileError, match="test vectors are damaged"):
        test_vectors.decode(damaged, (3, 4, 1))


@pytest.mark.parametrize("name", ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"])
def test_exported_files_reproduce_their_test_vectors(
    name: str, exported: Path, prepared_folder: Path | None
) -> None:
    """Each exported file gives its expected outputs exactly, and these differ."""
    if prepared_folder:
        pytest.skip("they are exact where the file was made")
    classifier = Classifier(exported / f"baseline.{name}")
    assert classifier.metadata.test_vectors is not None
    pixels, expected = test_vectors.decode(
        classifier.metadata.test_vectors, classifier.metadata.input.shape
    )
    assert len(pixels) >= 3
    assert np.array_equal(classifier.predict(pixels), expected)
    assert len(np.unique(expected, axis=0)) > 1
