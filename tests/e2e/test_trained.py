"""The trained models that come with the project are what they say."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_runtime import Classifier
from fmx_runtime.model_file.default_model import SHIPPED
from fmx_training import run_folder as runs

if TYPE_CHECKING:
    from fmx_training.data.dataset import Splits

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "training/trained").glob("*/*.int8.tflite"))
LARGEST = {"nano": 48_000, "edge": 256_000, "max": 4_000_000}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_accuracy(path: Path, splits: Splits) -> None:
    """Asked for all 10,000 test images, each int8 file is right as often as its metadata says."""
    test = splits.test
    called = Classifier(path).predict(test.images).argmax(axis=1)
    accuracy = np.mean(called == test.labels)
    recipe, seed = path.parent.name.rsplit("-", 1)
    document = (ROOT / f"docs/models/{recipe}.md").read_text("utf-8")
    line = next(line for line in document.splitlines() if line.startswith(f"| {seed} | "))
    assert f" {accuracy:.2%} " in line
    assert path.stat().st_size <= LARGEST[recipe]
    metrics = json.loads((path.parent / "metrics.json").read_text("utf-8"))
    assert abs(metrics["test"]["accuracy"] - accuracy) < 0.004


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_provenance(path: Path) -> None:
    """Each file names the recipe, the seed and the data that its folder has the settings of."""
    info = runs.open_run(path.parent).info
    provenance = Classifier(path).metadata.provenance
    assert f"{provenance.recipe}-{provenance.seed}" == path.parent.name
    assert (info.recipe.name, info.seed) == (provenance.recipe, provenance.seed)
    assert info.data_digest == provenance.data_digest
    history = json.loads((path.parent / "history.json").read_text("utf-8"))["epochs"]
    assert len(history) == info.epochs


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_teachers(path: Path) -> None:
    """The networks that a model learnt from come with it, as they were."""
    for teacher in runs.open_run(path.parent).info.teachers:
        network = ROOT / teacher.run / "model.keras"
        assert hashlib.sha256(network.read_bytes()).hexdigest() == teacher.sha256


def validated(path: Path) -> float:
    """A file's accuracy on validation images, as it says itself."""
    known = Classifier(path).metadata.accuracy
    assert known
    return known.file


def test_the_shipped_one_is_one_of_them() -> None:
    """The runtime carries the edge that is best on validation images, to the byte."""
    best = max((path for path in FILES if path.stem == "edge.int8"), key=validated)
    assert Path(SHIPPED).read_bytes() == best.read_bytes()


def test_all_together_are_small() -> None:
    """Nobody who clones the project waits for them."""
    files = [path for path in (ROOT / "training/trained").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 10_000_000
