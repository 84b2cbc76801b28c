"""The figures that ``fmx train`` prints at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fmx_cli.output.training_metrics import print_metrics
from fmx_training.loop.evaluate import Evaluation
from fmx_training.train import Metrics

if TYPE_CHECKING:
    import pytest


def test_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    """Each data set has a line of figures; a long folder is not wrapped, brackets are kept."""
    validation = Evaluation("pets validation", 5000, 0.91234, 0.25, ())
    test = Evaluation("pets test", 10000, 0.9, 0.33335, ())
    confused = ("12 [cat]s were predicted as [red]", "3 dogs were predicted as cats")
    folder = Path("runs") / ("long-" * 30 + "[bold]")
    print_metrics(Metrics(4, validation, test, confused), folder)
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "pets validation: accuracy 91.23%, loss 0.2500 on 5,000 images",
        "pets test: accuracy 90.00%, loss 0.3333 on 10,000 images",
        "most confused test images:",
        f"  {confused[0]}",
        f"  {confused[1]}",
        f"{folder} holds the model, its metrics and its plots",
    ]
    assert not captured.err
