"""On the device: its answers are those of the machine where the tests were prepared."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_runtime import Classifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fmx_training.data.dataset import Splits

TOLERANCES = {
    "float32.tflite": 2e-6,  # sums in another order; measured 6e-7
    "float32.onnx": 2e-6,
    "int8.onnx": 1e-6,  # its logits are the same to the last bit, its softmax is computed in floats
    # its logits too are the same to the last bit, but LiteRT has a softmax of its own for 64-bit
    # Arm, by tables of 16 bits; measured 1/256, of 0.2 % of the probabilities
    "int8.tflite": 1 / 256,
}


@pytest.mark.parametrize("name", TOLERANCES)
def test_answers(name: str, here: Path, splits: Splits) -> None:
    """200 real images have the same labels, and probabilities as near as is known."""
    with np.load(here / "answers.npz") as arrays:
        expected = arrays[name]
    answers = Classifier(here / "exported" / f"baseline.{name}").predict(splits.test.images)
    assert np.array_equal(answers.argmax(axis=1), expected.argmax(axis=1))
    difference = float(np.abs(answers - expected).max())
    assert difference <= TOLERANCES[name], difference


def test_int8_logits_are_the_same_bits(
    here: Path, splits: Splits, logits: Callable[[Path, NDArray[np.uint8]], NDArray[np.int8]]
) -> None:
    """All integers that an int8 TFLite file computes before its softmax are those of x86."""
    with np.load(here / "answers.npz") as arrays:
        expected = arrays["logits"]
    model = here / "exported" / "baseline.int8.tflite"
    assert np.array_equal(logits(model, splits.test.images), expected)
    assert len(np.unique(expected)) > 100


@pytest.mark.parametrize("name", TOLERANCES)
def test_a_file_proves_itself(name: str, here: Path) -> None:
    """``fmx-run --self-test`` is content with each file."""
    command = Path(sys.executable).with_name("fmx-run")
    done = subprocess.run(
        [command, "--self-test", "--jsonl", here / "exported" / f"baseline.{name}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["verdict"] in {"exact", "within tolerance"}
