"""Train candidates for `nano` and `edge` briefly, and write docs/architecture-search.md.

    python tools/architecture_search.py EPOCHS

The accuracy is that of the int8 file on the validation images; latencies are measured with one
thread, in turns. Candidates that are trained already (build/architecture-search) are not trained
again. Needs an export of `baseline` in exports/, a quiet machine, and hours.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fmx_benchmarks.statistics.analysis import Analysis
from fmx_runtime import labeled_images
from fmx_runtime.bench.result import Result
from fmx_runtime.support.atomic import make_folder, write
from fmx_training import recipes, run_folder
from fmx_training.data import fashion_mnist, saved_images
from fmx_training.data.training_examples import from_dataset
from fmx_training.networks import architectures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fmx_training.data.dataset import Dataset, Splits

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
"""Channels of each convolution, by stage; each stage but the first halves height and width."""


def main() -> None:
    """Run the tool."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="Options that are not listed here are passed to 'fmx bench', such as --repeats.",
    )
    parser.add_argument("epochs", type=int, metavar="EPOCHS")
    parser.add_argument(
        "--candidate", choices=CANDIDATES, action="append", help="train this one; may be repeated"
    )
    parser.add_argument("--train-images", type=int, metavar="N", help="train on fewer images")
    parser.add_argument("--validation-images", type=int, metavar="N", help="use fewer images")
    options, bench_options = parser.parse_known_args()
    splits = fashion_mnist.load()
    splits = dataclasses.replace(
        splits,
        train=_first(splits.train, options.train_images),
        validation=_first(splits.validation, options.validation_images),
    )
    names = options.candidate or CANDIDATES
    files = [trained_file(name, options.epochs, splits) for name in names]
    analysis = measure([BASELINE, *files], splits.validation, bench_options)
    make_folder(DOCUMENT.parent)
    write(DOCUMENT, document(analysis, options.epochs, len(splits.validation)))
    print(f"wrote {DOCUMENT}")


def _first(images: Dataset, count: int | None) -> Dataset:
    if count is None or count >= len(images):
        return images
    return images.take(np.arange(count), images.name)


def trained_file(name: str, epochs: int, splits: Splits) -> Path:
    """Return the int8 file of a candidate, which is trained and exported first if needed."""
    from fmx_training.train import train

    folder = FOLDER / f"{name}-{epochs}"
    file = folder / f"{name}.int8.tflite"
    if file.exists():
        return file
    architectures.NETWORKS = {
        **architectures.NETWORKS,
        name: functools.partial(architectures.plain, stages=CANDIDATES[name], name=name),
    }
    recipe = dataclasses.replace(recipes.get("edge"), name=name, network=name, views=0)
    spec = run_folder.input_spec(
        recipe,
        fashion_mnist.SHAPE,
        polarity=fashion_mnist.POLARITY,
        subject=fashion_mnist.SUBJECT,
    )
    # the test images choose nothing, so the validation images take their place
    splits = dataclasses.replace(splits, test=splits.validation)
    examples = from_dataset(splits.train)
    info = run_folder.describe_run(recipe, splits.train, examples, spec, epochs=epochs)
    if (folder / "run.json").exists():
        run = run_folder.open_run(folder)
    else:
        run = run_folder.create_run(folder, info)
        saved_images.save_splits(folder, splits)  # for fmx export
    if not run.finished:
        train(run, examples, splits.validation, lambda: splits.test, report=print)
    command = [FMX, "export", folder, "--format", "tflite-int8", "-o", folder / "export"]
    subprocess.run(list(map(str, command)), check=True)
    (folder / "export" / file.name).replace(file)
    return file


def measure(files: Sequence[Path], validation: Dataset, bench_options: Sequence[str]) -> Analysis:
    """Measure all files on the validation images with ``fmx bench``."""
    images = FOLDER / "validation.npz"
    labeled_images.save(
        labeled_images.LabeledImages(
            validation.name, validation.images, validation.labels, validation.class_names
        ),
        images,
    )
    command = [FMX, "bench", *files, "--images", images, "-o", FOLDER / "report", *bench_options]
    subprocess.run(list(map(str, command)), check=True)
    result = Result.from_json((FOLDER / "report/result.json").read_text("utf-8"))
    return Analysis(result, result.runs[0])


def document(analysis: Analysis, epochs: int, images: int) -> str:
    """Return the page."""
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
    for latency_us, accuracy, variant in rows:
        on_front = accuracy.value > best
        best = max(best, accuracy.value)
        name = variant.name.removesuffix(".int8.tflite")
        stages = " / ".join(", ".join(map(str, stage)) for stage in CANDIDATES[name])
        lines.append(
            f"| {name} | {stages} | {accuracy.value:.2%} | {latency_us:.1f} | "
            f"{variant.size_bytes / 1000:.3g} | {'yes' if on_front else ''} |"
        )
    low, high = rows[-1][1].interval
    return TEMPLATE.format(
        epochs=epochs,
        images=images,
        half_interval=100 * (high - low) / 2,
        reference_us=analysis.latency_us(reference, 50),
        processor=analysis.run.machine.processor,
        rows="\n".join(lines),
    )


TEMPLATE = """# Architecture search for nano and edge

Written by `.venv/bin/python tools/architecture_search.py {epochs}`. Each candidate was trained for
{epochs} epochs with seed 0 and the settings of `edge`, on Fashion-MNIST alone, and exported to int8
TFLite.

- *Accuracy* is that of the file on {images:,} validation images. The 95 % interval is \
{half_interval:.1f} points to both sides.
  No test image was used.
- *Latency* is p50 of one image, with one thread; the models take turns. The float32 TFLite file of
  `baseline` takes {reference_us:.1f} µs ({processor}).
- A candidate is on the *front* if no faster candidate has the same accuracy or a higher one.

| candidate | channels (each stage but the first halves height and width) | accuracy \
| latency p50, µs | size, KB | front |
| --- | --- | ---: | ---: | ---: | --- |
{rows}
"""


if __name__ == "__main__":
    main()
