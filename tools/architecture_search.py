"""Train candidates for `nano` and `edge` shortly, time their int8 files, and show who is worth it.

    python tools/architecture_search.py EPOCHS    # writes docs/architecture-search.md

Accuracy is that of the int8 file on the validation images; times are p50, one thread, in turns.
Candidates that were trained before are not trained again (build/architecture-search). Wants a
quiet machine, and hours.
"""
# ruff: noqa: E501, INP001, T201 (a program that writes a page)

from __future__ import annotations

import dataclasses
import functools
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fmx_benchmarks.statistics.analysis import Analysis
from fmx_runtime import labeled_images
from fmx_runtime.bench.result import Result
from fmx_runtime.support.atomic import write
from fmx_training import recipes
from fmx_training import run_folder as runs
from fmx_training.data import fashion_mnist
from fmx_training.data.examples import from_dataset
from fmx_training.networks import architectures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fmx_training.data.dataset import Splits

FOLDER = Path("build/architecture-search")
DOCUMENT = Path("docs/architecture-search.md")
BASELINE = Path("exports/baseline/baseline.float32.tflite")
FMX = Path(sys.executable).with_name("fmx")

CANDIDATES: Mapping[str, Sequence[Sequence[int]]] = {
    "n-16": ((8,), (16, 16, 24), (32, 32, 32)),
    "n-24": ((16,), (24, 24, 24), (32, 32)),
    "n-24-two": ((16, 16), (24, 24, 24), (32, 32)),
    "n-deep": ((8,), (16, 16, 16), (24, 24, 24, 24, 24)),
    "e-16": ((16,), (32, 32, 32), (64, 64, 64, 64)),
    "e-16-two": ((16, 16), (32, 32, 32), (64, 64, 64, 64)),
    "e-16-long": ((16,), (32, 32), (64, 64, 64, 64, 64)),
    "e-16-wide": ((16,), (32, 32, 32), (80, 80, 80)),
    "e-16-more": ((16,), (32, 32, 32), (64, 64, 64, 64, 64)),
    "e-16-48": ((16,), (32, 48), (64, 64, 64, 64)),
}
"""Channels of each convolution; each stage but the first halves height and width."""


def main(epochs: int) -> None:
    """Train what is not trained yet, export, measure all in turns, write the document."""
    splits = fashion_mnist.load()
    files = [_exported(name, stages, epochs, splits) for name, stages in CANDIDATES.items()]
    images = FOLDER / "validation.npz"
    held = splits.validation
    labeled_images.save(
        labeled_images.LabeledImages(held.name, held.images, held.labels, held.class_names), images
    )
    command = [FMX, "bench", BASELINE, *files, "--images", images, "-o", FOLDER / "report"]
    subprocess.run(command, check=True)
    result = Result.from_json((FOLDER / "report/result.json").read_text("utf-8"))
    write(DOCUMENT, _document(Analysis(result, result.runs[0]), epochs))
    print(f"wrote {DOCUMENT}")


def _exported(name: str, stages: Sequence[Sequence[int]], epochs: int, splits: Splits) -> Path:
    from fmx_training.train import train

    folder = FOLDER / f"{name}-{epochs}"
    file = folder / f"{name}.int8.tflite"
    if file.exists():
        return file
    architectures.NETWORKS = {
        **architectures.NETWORKS,
        name: functools.partial(architectures.plain, stages=stages, name=name),
    }
    recipe = dataclasses.replace(recipes.get("edge"), name=name, network=name, views=0)
    spec = runs.input_spec(
        recipe,
        fashion_mnist.SHAPE,
        polarity=fashion_mnist.POLARITY,
        subject=fashion_mnist.SUBJECT,
    )
    examples = from_dataset(splits.train)
    run = runs.Run(folder, runs.describe_run(recipe, splits.train, examples, spec, epochs=epochs))
    if not (folder / "run.json").exists():
        run = runs.create_run(folder, run.info)
    if not run.finished:
        # the validation images stand in for the test images, which choose nothing
        train(run, examples, splits.validation, lambda: splits.validation, report=print)
    command = [FMX, "export", folder, "--format", "tflite-int8", "-o", folder / "export"]
    subprocess.run(command, check=True)
    (folder / "export" / file.name).replace(file)
    return file


def _document(analysis: Analysis, epochs: int) -> str:
    reference = next(one for one in analysis.variants if one.precision == "float32")
    rows = sorted(
        (
            (analysis.latency_us(one, 50), analysis.accuracy(one), one)
            for one in analysis.variants
            if one is not reference
        ),
        key=lambda row: row[0],
    )
    best, lines = 0.0, []
    for time, accuracy, one in rows:
        front = accuracy.value > best
        best = max(best, accuracy.value)
        name = one.name.removesuffix(".int8.tflite")
        stages = " / ".join(", ".join(map(str, stage)) for stage in CANDIDATES[name])
        lines.append(
            f"| {name} | {stages} | {accuracy.value:.2%} | {time:.1f} | "
            f"{one.size_bytes / 1000:.3g} | {'yes' if front else ''} |"
        )
    low, high = rows[-1][1].interval
    return f"""# Which network is worth its microseconds

Written by `.venv/bin/python tools/architecture_search.py {epochs}`. Each candidate was trained for {epochs} epochs, with
seed 0 and the settings of `edge`, on Fashion-MNIST alone, and exported to int8 TFLite. *Accuracy* is that of the file on
the 5,000 validation images (95 % interval: {100 * (high - low) / 2:.1f} points to both sides); no test image was looked
at. *Time* is p50 of one image in microseconds, one thread, all in turns; `baseline`'s float32 TFLite takes
{analysis.latency_us(reference, 50):.1f} ({analysis.run.machine.processor}). On the *front* is what no faster candidate equals.

| candidate | channels (each stage halves the side) | accuracy | time, µs | size, KB | front |
| --- | --- | ---: | ---: | ---: | --- |
{chr(10).join(lines)}
"""


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004
        sys.exit(__doc__)
    main(int(sys.argv[1]))
