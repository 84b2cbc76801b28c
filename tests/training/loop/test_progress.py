"""The progress bar of an epoch, and the line after it."""

from __future__ import annotations

import io
import sys
from contextlib import closing

import pytest

from fmx_training.loop.checkpoint import EpochMetrics
from fmx_training.loop.progress import EpochProgressBar, epoch_summary


class _Terminal(io.StringIO):
    """A stream in memory that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variables that make rich take a pipe for a terminal, or the reverse."""
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")


def _run_epoch(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    with closing(EpochProgressBar("epoch 2/3", 4)) as bar:
        for batch in range(4):
            bar.on_train_batch_end(batch, {"loss": 0.25, "accuracy": 0.875})
    return stream.getvalue()


def test_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar shows the epoch, the percentage and the figures, and is removed at the end."""
    output = _run_epoch(_Terminal(), monkeypatch)
    assert "epoch 2/3" in output
    assert "100%" in output
    assert "loss 0.2500, accuracy 87.50%" in output
    assert output.endswith("\x1b[2K")  # the line is erased


def test_nothing_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal nothing is printed."""
    assert not _run_epoch(io.StringIO(), monkeypatch)


def test_epoch_summary() -> None:
    """One line has the figures of an epoch."""
    metrics = EpochMetrics(
        epoch=3,
        learning_rate=0.01,
        loss=0.5,
        accuracy=0.75,
        val_loss=0.25,
        val_accuracy=0.875,
        seconds=12.4,
    )
    assert epoch_summary(metrics, 40) == (
        "epoch  3/40  training loss 0.5000, accuracy 75.00%  "
        "validation loss 0.2500, accuracy 87.50%  12 s"
    )
