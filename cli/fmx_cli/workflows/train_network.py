"""Train a network, as ``fmx train`` and ``fmx demo`` do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from fmx_cli.default_folders import RUNS
from fmx_cli.output.terminal import note, progress_bar
from fmx_cli.output.training_metrics import print_metrics
from fmx_runtime.support.stderr_filter import filter_native_stderr
from fmx_training.process_setup import prepare_training_process
from fmx_training.train import complete_run, resume_run, start_run

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_training.options import TrainOptions

__all__ = ["train_network"]


def train_network(options: TrainOptions, *, resume: bool = False) -> Path:
    """Train a new run or resume one, and print its metrics.

    Returns:
        The run folder.
    """
    if resume:
        prepared = resume_run(options, RUNS)
    else:
        prepared = start_run(options, RUNS, watch=progress_bar, report=note)
    run, info, examples = prepared.run, prepared.run.info, prepared.data.examples
    note(
        f"training {info.backbone or info.recipe.name}, {info.epochs} epochs, seed {info.seed}, "
        f"on {len(examples):,} images of {examples.name}; run folder {run.folder}"
    )
    prepare_training_process()
    try:
        with filter_native_stderr():
            metrics = complete_run(prepared, report=note)
    except KeyboardInterrupt:
        note(
            "stopped; completed epochs are saved: continue with "
            f"'fmx train --resume -o {run.folder}'"
        )
        sys.exit(130)
    print_metrics(metrics, run.folder)
    return run.folder
