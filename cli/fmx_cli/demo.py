"""``fmx demo``: the commands a user types, one after the other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fmx_cli.bench import bench_files
from fmx_cli.data import show as show_data
from fmx_cli.export import EXPORTS, Wanted, export_run
from fmx_cli.output.terminal import note, out
from fmx_cli.train import train_network
from fmx_runtime.support.atomic import make_folder, replacing
from fmx_training import recipes
from fmx_training.data import fashion_mnist
from fmx_training.options import TrainOptions

if TYPE_CHECKING:
    from fmx_training.data.dataset import Dataset

__all__ = ["show"]

_RECIPE = "baseline"
_SHORT_EPOCHS = 4
_IMAGES = Path("demo/images")


def show(*, full: bool, data_dir: Path | None) -> None:
    """Data, train, export, bench, run; ends by naming the report."""
    recipe = recipes.get(_RECIPE)
    epochs = recipe.epochs if full else _SHORT_EPOCHS
    _heading("fmx data")
    show_data(data_dir, None)
    _heading(f"fmx train --epochs {epochs}")
    if not full:
        note(
            f"a short training: {epochs} of {recipe.epochs} epochs, on all the data; "
            "'make demo FULL=1' trains to the end"
        )
    run = train_network(TrainOptions(recipe=_RECIPE, epochs=epochs, data_dir=data_dir))
    _heading("fmx export --int8")
    export_run(run, Wanted(), data_dir=data_dir)
    _heading("fmx bench")
    report = bench_files([EXPORTS / recipe.name], None, data_dir)
    images = _write_images(fashion_mnist.load(data_dir).test)
    _heading(f"fmx-run --top-k 3 {images}")
    model = EXPORTS / recipe.name / f"{recipe.name}.int8.tflite"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "fmx_runtime.command.main",
            "--model",
            model,
            "--top-k",
            "3",
            images,
        ],
        check=True,
    )
    out.print(f"\nThe report: [bold]{report}[/]")


def _heading(command: str) -> None:
    out.print(f"\n[bold]$ {command}[/]")


def _write_images(dataset: Dataset) -> Path:
    """The first test image of each class as a PNG file named after its class."""
    folder = make_folder(_IMAGES)
    for index, name in enumerate(dataset.class_names):
        first = int(np.argmax(dataset.labels == index))
        words = "".join(char if char.isalnum() else "-" for char in name.lower())
        with replacing(folder / f"{words}.png") as temporary:
            Image.fromarray(dataset.images[first].squeeze()).save(temporary)
    return folder
