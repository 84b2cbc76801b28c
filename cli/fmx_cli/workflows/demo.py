"""The commands that a user types, one after the other."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fmx_benchmarks.benchmark import BenchOptions
from fmx_cli.default_folders import DEMO, EXPORTS
from fmx_cli.output.terminal import note, out
from fmx_cli.workflows.benchmark import benchmark_files
from fmx_cli.workflows.describe_data import describe_data
from fmx_cli.workflows.export_model import ExportOptions, export_run
from fmx_cli.workflows.train_network import train_network
from fmx_runtime.support.atomic import make_folder, replacing
from fmx_training import recipes
from fmx_training.data import fashion_mnist
from fmx_training.options import TrainOptions

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_training.data.dataset import Dataset

__all__ = ["run_demo"]

_RECIPE = "baseline"
_SHORT_EPOCHS = 2
_REPEATS = 5
"""Of the benchmark: fewer than usual, so that the demo takes minutes."""


def run_demo(*, full: bool, data_dir: Path | None) -> None:
    """Run data, train, export, bench and fmx-run, and print where the report is."""
    recipe = recipes.get(_RECIPE)
    epochs = recipe.epochs if full else _SHORT_EPOCHS
    _print_command("fmx data")
    describe_data(data_dir)
    _print_command(f"fmx train --recipe {_RECIPE} --epochs {epochs}")
    if not full:
        note(
            f"a short training on all images: {epochs} of {recipe.epochs} epochs; "
            "'make demo FULL=1' trains for all of them"
        )
    run = train_network(TrainOptions(recipe=_RECIPE, epochs=epochs, data_dir=data_dir))
    _print_command("fmx export --int8")
    export_run(run, ExportOptions(), data_dir=data_dir)
    _print_command(f"fmx bench --repeats {_REPEATS}")
    options = BenchOptions(repeats=_REPEATS)
    report = benchmark_files([EXPORTS / recipe.name], options, data_dir=data_dir)
    images = _write_images(fashion_mnist.load(data_dir).test)
    _print_command(f"fmx-run --top-k 3 {images}")
    model = EXPORTS / recipe.name / f"{recipe.name}.int8.tflite"
    program = [sys.executable, "-m", "fmx_runtime"]
    subprocess.run([*program, "--model", model, "--top-k", "3", images], check=True)
    out.print(f"\nThe report: [bold]{report}[/]")


def _print_command(command: str) -> None:
    out.print(f"\n[bold]$ {command}[/]")


def _write_images(dataset: Dataset) -> Path:
    """Write the first image of each class as a PNG file named after its class."""
    folder = make_folder(DEMO / "images")
    for index, name in enumerate(dataset.class_names):
        first = int(np.argmax(dataset.labels == index))
        stem = "".join(char if char.isalnum() else "-" for char in name.lower())
        with replacing(folder / f"{stem}.png") as temporary:
            Image.fromarray(dataset.images[first].squeeze()).save(temporary)
    return folder
