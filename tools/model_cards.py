"""Measure the trained models in training/trained, and write docs/models/NAME.md for each recipe.

    python tools/model_cards.py exports/baseline/baseline.float32.tflite [PHOTOS]

Latencies are compared with the given float file, in turns. Latencies that a model card has from
other kinds of processors are kept. PHOTOS is a folder of photos of clothes with one folder per
kind; nothing may have been trained on them. Needs a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from model_card_text import (
    CHOSEN_SEED,
    PHOTOS_NOT_MEASURED,
    PHOTOS_TEMPLATE,
    PURPOSES,
    TEMPLATE,
)
from photo_accuracy import accuracy

from fmx_benchmarks.statistics.accuracy import proportion
from fmx_benchmarks.statistics.analysis import Analysis
from fmx_runtime import Classifier
from fmx_runtime.bench.result import Result
from fmx_runtime.labeled_images import image_files
from fmx_runtime.support.atomic import make_folder, write
from fmx_training import recipes
from fmx_training.data import fashion_mnist
from fmx_training.data.clothing_photos import KINDS
from fmx_training.loop.evaluate import Evaluation, confused_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fmx_runtime.model_file.metadata import ModelMetadata
    from fmx_training.data.dataset import Dataset

TRAINED = Path(__file__).resolve().parent.parent / "training" / "trained"
DOCUMENTS = Path("docs/models")


@dataclass(frozen=True)
class TrainedModel:
    """One seed of a recipe.

    Attributes:
        folder: its run folder.
        file: its int8 file.
        metadata: metadata of the file.
        predictions: predicted classes of the test images.
    """

    folder: Path
    file: Path
    metadata: ModelMetadata
    predictions: NDArray[np.int64]

    @property
    def run(self) -> dict[str, Any]:
        """The contents of run.json."""
        return _read_run(self.folder)

    @property
    def validation_accuracy(self) -> float:
        """Accuracy on the validation images, according to the metadata."""
        measured = self.metadata.accuracy
        return (measured.file if measured else None) or 0.0


def main() -> None:
    """Run the tool."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("float_file", type=Path, metavar="FLOAT_FILE", help="TFLite file")
    parser.add_argument("photos", type=Path, nargs="?", metavar="PHOTOS")
    parser.add_argument("--recipe", choices=PURPOSES, action="append", help="may be repeated")
    parser.add_argument("--test-images", type=int, default=10_000, metavar="N")
    parser.add_argument("--bench", nargs="*", default=[], metavar="OPTION=VALUE")
    options = parser.parse_args()
    test = fashion_mnist.load().test
    test = test.take(np.arange(min(options.test_images, len(test))), test.name)
    models = {name: load_models(name, test) for name in options.recipe or PURPOSES}
    bench_options = [f"--{option}" for option in options.bench]
    latencies = measure_latencies(
        options.float_file, [_best(seeds).file for seeds in models.values()], bench_options
    )
    make_folder(DOCUMENTS)
    for name, seeds in models.items():
        document = DOCUMENTS / f"{name}.md"
        rows = _latency_rows(document, *latencies[_best(seeds).file.name])
        write(document, model_card(name, seeds, test, rows, options.photos))
        print(f"wrote {document}")


def load_models(name: str, test: Dataset) -> list[TrainedModel]:
    """Return all seeds of a recipe with their predictions for the test images."""
    models = []
    for folder in sorted(TRAINED.glob(f"{name}-*")):
        file = folder / f"{name}.int8.tflite"
        classifier = Classifier(file)
        predictions = classifier.predict(test.images).argmax(axis=1)
        models.append(TrainedModel(folder, file, classifier.metadata, predictions))
    return models


def _best(seeds: Sequence[TrainedModel]) -> TrainedModel:
    """Return the seed that the model card is about; for edge, the one in the runtime."""
    return max(seeds, key=lambda model: model.validation_accuracy)


def measure_latencies(
    float_file: Path, files: Sequence[Path], bench_options: Sequence[str]
) -> dict[str, tuple[str, str]]:
    """Return the processor and the latency compared with the float file, by file name."""
    with tempfile.TemporaryDirectory() as name:
        fmx = Path(sys.executable).with_name("fmx")
        command = [fmx, "bench", float_file, *files, *bench_options, "-o", name]
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
        result = Result.from_json(Path(name, "result.json").read_text("utf-8"))
    analysis, machine = Analysis(result, result.runs[0]), result.runs[0].machine
    variants = {variant.name: variant for variant in analysis.variants}
    reference = variants.pop(float_file.name)
    instructions = ", ".join(machine.int8_instructions) or "no int8 instructions"
    latencies = {}
    for name, variant in variants.items():
        own, other = (analysis.latency_us(one, 50) for one in (variant, reference))
        speed = analysis.speedup(variant, reference)
        latency = (
            f"{own:.1f} µs; `{float_file.name}` takes {other:.1f} µs: "
            f"{speed.value:.2f} times as fast ({speed.low:.2f} to {speed.high:.2f}; one thread)"
        )
        latencies[name] = f"{machine.processor}, {instructions}", latency
    return latencies


def _latency_rows(document: Path, processor: str, latency: str) -> str:
    """Return the latency rows: this processor's, and those of others from the existing card."""
    text = document.read_text("utf-8") if document.exists() else ""
    rows = dict(re.findall(r"^\| latency p50, (.+?) \| (.+) \|$", text, re.MULTILINE))
    rows[processor] = latency
    return "\n".join(f"| latency p50, {name} | {rows[name]} |" for name in sorted(rows))


def model_card(
    name: str, seeds: Sequence[TrainedModel], test: Dataset, latencies: str, photos: Path | None
) -> str:
    """Return the model card of a recipe."""
    best = _best(seeds)
    metadata, run = best.metadata, best.run
    accuracies = [float(np.mean(model.predictions == test.labels)) for model in seeds]
    best_accuracy = proportion(best.predictions == test.labels)
    low, high = best_accuracy.interval
    recipe_epochs = recipes.get(name).epochs
    return TEMPLATE.format(
        name=name,
        purpose=PURPOSES[name],
        metadata=metadata,
        labels=", ".join(metadata.labels),
        file_kb=best.file.stat().st_size / 1000,
        test_images=len(test),
        mean=np.mean(accuracies),
        seeds=len(seeds),
        seed=run["seed"],
        accuracy=best_accuracy.value,
        low=low,
        high=high,
        latencies=latencies,
        commands="\n".join(_commands(run)),
        epochs=run["epochs"],
        of_recipe=f" of the recipe's {recipe_epochs}" if run["epochs"] != recipe_epochs else "",
        seed_rows="\n".join(map(_seed_row, seeds, accuracies)),
        chosen=CHOSEN_SEED.format(seed=run["seed"]) if len(seeds) > 1 else "",
        photos=_photo_section(best.file, photos),
        class_rows="\n".join(_class_rows(best, test)),
        confusions="\n".join(f"- {pair}" for pair in _confused_pairs(best, test)),
    )


def _seed_row(model: TrainedModel, test_accuracy: float) -> str:
    folder = f"training/trained/{model.folder.name}"
    return (
        f"| {model.run['seed']} | {model.validation_accuracy:.2%} | {test_accuracy:.2%} | "
        f"{model.file.stat().st_size / 1000:.1f} KB | [{model.folder.name}](../../{folder}) |"
    )


def _confusion_matrix(model: TrainedModel, test: Dataset) -> NDArray[np.int64]:
    matrix = np.zeros((len(model.metadata.labels),) * 2, np.int64)
    np.add.at(matrix, (test.labels, model.predictions), 1)
    return matrix


def _class_rows(model: TrainedModel, test: Dataset) -> list[str]:
    matrix = _confusion_matrix(model, test)
    return [
        f"| {label} | {matrix[index, index] / max(1, matrix[index].sum()):.1%} | "
        f"{matrix[index, index] / max(1, matrix[:, index].sum()):.1%} |"
        for index, label in enumerate(model.metadata.labels)
    ]


def _confused_pairs(model: TrainedModel, test: Dataset) -> tuple[object, ...]:
    matrix = tuple(tuple(row) for row in _confusion_matrix(model, test).tolist())
    accuracy_ = float(np.mean(model.predictions == test.labels))
    return confused_pairs(
        Evaluation(test.name, len(test), accuracy_, 0.0, matrix), model.metadata.labels
    )


def _read_run(folder: Path) -> dict[str, Any]:
    run: dict[str, Any] = json.loads((folder / "run.json").read_text("utf-8"))
    return run


def _commands(run: Mapping[str, Any]) -> list[str]:
    """Return the commands that train a model: its teachers, then itself."""
    teachers = [teacher["run"] for teacher in run["teachers"]]
    root = TRAINED.parent.parent
    return [
        *(f"{_command(_read_run(root / teacher))} -o {teacher}" for teacher in teachers),
        _command(run),
    ]


def _command(run: Mapping[str, Any]) -> str:
    """Return the command that trains a run, with the recipe as it is now."""
    name = run["recipe"]["name"]
    command = f"fmx train --recipe {name} --seed {run['seed']}"
    if run["epochs"] != recipes.get(name).epochs:
        command += f" --epochs {run['epochs']}"
    if "photo" in run["data"]:
        command += " --photos PHOTOS/train"
    return command + "".join(f" --teacher {teacher['run']}" for teacher in run["teachers"])


def _photo_section(file: Path, photos: Path | None) -> str:
    if photos is None:
        return PHOTOS_NOT_MEASURED
    classifier = Classifier(file)
    rows, accuracies = [], []
    for kind, correct in KINDS.items():
        paths = image_files(photos / kind)
        accuracies.append(accuracy(classifier, paths, classifier.metadata.input, correct))
        rows.append(f"| {kind} | {' or '.join(correct)} | {len(paths)} | {accuracies[-1]:.1%} |")
    return PHOTOS_TEMPLATE.format(mean=np.mean(accuracies), rows="\n".join(rows))


if __name__ == "__main__":
    main()
