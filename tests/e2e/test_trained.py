"""The trained models of the repository match their metadata and their documents."""

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
    """Each int8 file has the accuracy on all 10,000 test images that its document states."""
    test = splits.test
    predicted = Classifier(path).predict(test.images).argmax(axis=1)
    accuracy = np.mean(predicted == test.labels)
    recipe, seed = path.parent.name.rsplit("-", 1)
    document = (ROOT / f"docs/models/{recipe}.md").read_text("utf-8")
    line = next(line for line in document.splitlines() if line.startswith(f"| {seed} | "))
    assert f" {accuracy:.2%} " in line
    assert path.stat().st_size <= LARGEST[recipe]
    metrics = json.loads((path.parent / "metrics.json").read_text("utf-8"))
    assert abs(metrics["test"]["accuracy"] - accuracy) < 0.004


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_provenance(path: Path) -> None:
    """Each file states the recipe, the seed and the data of the run in its folder."""
    info = runs.open_run(path.parent).info
    provenance = Classifier(path).metadata.provenance
    assert f"{provenance.recipe}-{provenance.seed}" == path.parent.name
    assert (info.recipe.name, info.seed) == (provenance.recipe, provenance.seed)
    assert info.data_digest == provenance.data_digest
    history = json.loads((path.parent / "history.json").read_text("utf-8"))["epochs"]
    assert len(history) == info.epochs


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_teachers(path: Path) -> None:
    """The teachers of each model are in the repository, unchanged."""
    for teacher in runs.open_run(path.parent).info.teachers:
        network = ROOT / teacher.run / "model.keras"
        assert hashlib.sha256(network.read_bytes()).hexdigest() == teacher.sha256


def validation_accuracy(path: Path) -> float:
    """Return the validation accuracy that a file's metadata states."""
    known = Classifier(path).metadata.accuracy
    assert known
    return known.file


def test_default_model() -> None:
    """The runtime's default model is the edge file with the best validation accuracy."""
    best = max((path for path in FILES if path.stem == "edge.int8"), key=validation_accuracy)
    assert Path(SHIPPED).read_bytes() == best.read_bytes()


def test_total_size() -> None:
    """The trained models take less than 10 MB of a clone."""
    files = [path for path in (ROOT / "training/trained").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 10_000_000
