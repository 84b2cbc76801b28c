"""``fmx train``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fmx_training.process_setup import prepare_training_process
from fmx_cli.output.terminal import bold, note, out, watch
from fmx_runtime.support.stderr_filter import filter_native_stderr
from fmx_training.train import complete_run, resume_run, start_run

if TYPE_CHECKING:
    from fmx_training.options import TrainOptions
    from fmx_training.train import Metrics, PreparedRun

__all__ = ["RUNS", "train_network"]

RUNS = Path("runs")
"""Folder of new run folders; the newest run is looked for here."""


def train_network(options: TrainOptions, *, resume: bool = False) -> Path:
    """Train a new run, or an unfinished one to its end; return its folder."""
    if resume:
        prepared = resume_run(options, RUNS)
    else:
        prepared = start_run(options, RUNS, watch=watch, report=note)
    metrics = _complete(prepared)
    _print(metrics, prepared.run.folder)
    return prepared.run.folder


def _complete(prepared: PreparedRun) -> Metrics:
    run, info, examples = prepared.run, prepared.run.info, prepared.data.examples
    note(
        f"training {info.backbone or info.recipe.name}, {info.epochs} epochs, seed {info.seed}, "
        f"on {len(examples):,} images of {examples.name}; run folder {run.folder}"
    )
    prepare_training_process()
    try:
        with filter_native_stderr():
            return complete_run(prepared, report=note)
    except KeyboardInterrupt:
        note(
            "stopped; completed epochs are saved: continue with "
            f"'fmx train --resume -o {run.folder}'"
        )
        sys.exit(130)


def _print(metrics: Metrics, folder: Path) -> None:
    for evaluation in (metrics.validation, metrics.test):
        out.print(
            f"{evaluation.data}: accuracy [bold]{evaluation.accuracy:.2%}[/], "
            f"loss [bold]{evaluation.loss:.4f}[/] on {evaluation.size:,} images"
        )
    out.print("most confused test images:")
    for sentence in metrics.confused:
        out.print(f"  {sentence}", markup=False)
    out.print(f"{bold(folder)} holds the model, its metrics and its plots", soft_wrap=True)
