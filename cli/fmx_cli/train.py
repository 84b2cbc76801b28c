"""``fmx train``."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fmx_cli.terminal import bold, note, out
from fmx_runtime.errors import DataError
from fmx_runtime.quiet import native_stderr_silenced
from fmx_training import fashion_mnist, recipes
from fmx_training import run as runs

if TYPE_CHECKING:
    from fmx_training.run import Run

__all__ = ["RUNS", "begin", "finish", "reopen"]

RUNS = Path("runs")
"""Where run folders go, and where the newest is looked for."""


def begin(
    recipe_name: str,
    epochs: int | None,
    seed: int,
    output: Path | None,
    data_dir: Path | None,
) -> Run:
    """Make the folder of a new run."""
    recipe = recipes.get(recipe_name)
    info = runs.plan(
        recipe,
        fashion_mnist.load(data_dir).train,
        polarity=fashion_mnist.POLARITY,
        subject=fashion_mnist.SUBJECT,
        epochs=epochs,
        seed=seed,
    )
    now = dt.datetime.now().astimezone()
    return runs.create(output or RUNS / f"{recipe.name}-{now:%Y%m%d-%H%M%S}", info)


def reopen(
    output: Path | None,
    recipe_name: str | None = None,
    epochs: int | None = None,
    seed: int | None = None,
) -> Run:
    """The run to go on with; what is said of it besides must be what it was begun with.

    Raises:
        DataError: there is none, or it was begun with another recipe, seed or number of epochs.
    """
    run = runs.open_run(output) if output else runs.newest(RUNS, finished=False)
    info = run.info
    for option, asked, begun in (
        ("--recipe", recipe_name, info.recipe.name),
        ("--epochs", epochs, info.epochs),
        ("--seed", seed, info.seed),
    ):
        if asked not in {None, begun}:
            raise DataError(
                f"'{run.folder}' was begun with {option} {begun}, and --resume goes on with that; "
                f"for {option} {asked} begin a new run"
            )
    return run


def finish(run: Run, data_dir: Path | None) -> None:
    """Train to the end, or until Ctrl-C."""
    info = run.info
    splits = fashion_mnist.load(data_dir)
    note(
        f"training {info.recipe.name}, {info.epochs} epochs, seed {info.seed}, "
        f"on {len(splits.train):,} pictures of {info.data}; run folder {run.folder}"
    )
    try:
        with native_stderr_silenced():
            from fmx_training.train import train

            metrics = train(run, splits, report=note)
    except KeyboardInterrupt:
        note(f"stopped; whole epochs are kept: go on with 'fmx train --resume -o {run.folder}'")
        sys.exit(130)
    for evaluation in (metrics.validation, metrics.test):
        out.print(
            f"{evaluation.data}: accuracy [bold]{evaluation.accuracy:.2%}[/], "
            f"loss [bold]{evaluation.loss:.4f}[/] on {evaluation.size:,} pictures"
        )
    out.print("most confused test pictures:")
    for words in metrics.confused:
        out.print(f"  {words}", markup=False)
    out.print(f"{bold(run.folder)} holds the model, its figures and its curves", soft_wrap=True)
