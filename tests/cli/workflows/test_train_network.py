"""Starting, interrupting and resuming a training with ``fmx train``."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import termios
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from fmx_cli.workflows.train_network import train_network
from fmx_runtime.errors import DataError
from fmx_training import run_folder as run_folders
from fmx_training.options import TrainOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fmx_training.data.dataset import Dataset, Splits
    from fmx_training.run_folder import Run

    Completed = subprocess.CompletedProcess[str]


@pytest.mark.parametrize("data", ["own images", pytest.param("", marks=pytest.mark.slow)])
def test_ctrl_c_and_resume(  # noqa: PLR0917
    data: str,
    fmx_path: Path,
    fmx: Callable[..., Completed],
    environment: dict[str, str],
    few: Splits,
    tmp_path: Path,
) -> None:
    """Ctrl-C in an epoch prints only how to resume; --resume then trains to the end."""
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (30, 100))
    words = [fmx_path, "train", "-r", "baseline", "--epochs", "2", "-o", "mine"]
    if data:
        _write_images(few.train, tmp_path / data)
        words += ["--data", data, "--image-size", "28"]
    output = b""
    # a shell that starts tests in the background makes them, and their children, ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=end, stderr=end) as process:
        os.close(end)
        sent = False
        while piece := _read(terminal):
            output += piece
            if not sent and output.count(b"epoch 2/2") > 2:
                process.send_signal(signal.SIGINT)
                sent = True
    os.close(terminal)
    assert process.returncode == 130
    last = output.decode().replace("\r", "\n").rstrip().splitlines()[-1]
    assert "stopped; completed epochs are saved: continue with 'fmx train --resume -o mine'" in last
    assert b"Traceback" not in output
    run = run_folders.open_run(tmp_path / "mine")
    assert not run.finished
    assert [path.name for path in run.checkpoints.glob("*.keras")] == ["epoch-001.keras"]
    done = fmx("train", "--resume", "-o", "mine", cwd=tmp_path)
    assert done.returncode == 0
    assert [line[:11] for line in done.stderr.splitlines()] == ["training ba", "epoch  2/2 "]
    assert run.finished
    assert len(json.loads(run.history_path.read_text("utf-8"))["epochs"]) == 2


def _write_images(dataset: Dataset, folder: Path) -> None:
    """Write real images as files, one folder per class."""
    for index, (image, label) in enumerate(zip(dataset.images, dataset.labels, strict=True)):
        path = folder / dataset.class_names[label].replace("/", "-") / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[:, :, 0]).save(path)


def _read(terminal: int) -> bytes:
    """Return what a terminal shows next; nothing once the process is gone."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


@pytest.mark.parametrize(
    ("resume", "message"),
    [(False, "'runs/mine' holds an unfinished run"), (True, "with other training data than")],
)
def test_unfinished_run(  # noqa: PLR0917
    resume: bool,
    message: str,
    create_run: Callable[..., Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A new run does not replace an unfinished one, and resuming opens it; nothing is printed."""
    monkeypatch.chdir(tmp_path)
    run = create_run(tmp_path / "runs/mine")
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    output = None if resume else run.folder.relative_to(tmp_path)
    with pytest.raises(DataError, match=message):
        train_network(TrainOptions(recipe="baseline", output=output), resume=resume)
    assert capsys.readouterr() == ("", "")
    assert {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()} == before


def test_nothing_to_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resuming looks for unfinished runs in runs/, and starts none if there is none."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"^no unfinished training run in 'runs'"):
        train_network(TrainOptions(), resume=True)
    assert not list(tmp_path.iterdir())
