"""Print the metrics of a training run, as ``fmx train`` does at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_cli.output.terminal import bold, out

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_training.train import Metrics

__all__ = ["print_metrics"]


def print_metrics(metrics: Metrics, folder: Path) -> None:
    """Print accuracy, loss and the most frequent confusions of a trained network."""
    for evaluation in (metrics.validation, metrics.test):
        out.print(
            f"{evaluation.data}: accuracy [bold]{evaluation.accuracy:.2%}[/], "
            f"loss [bold]{evaluation.loss:.4f}[/] on {evaluation.size:,} images"
        )
    out.print("most confused test images:")
    for sentence in metrics.confused_pairs:
        out.print(f"  {sentence}", markup=False)
    out.print(f"{bold(folder)} holds the model, its metrics and its plots", soft_wrap=True)
