"""``fmx train`` on Fashion-MNIST."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import keras
import pytest
from PIL import Image

from fmx_training import run_folder as run_folders

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from fmx_training.run_folder import Run

    Completed = subprocess.CompletedProcess[str]


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of each file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def assert_error(done: Completed, message: str) -> None:
    """Check that the command failed with this one line on stderr and printed nothing else."""
    assert done.returncode == 1
    assert not done.stdout
    assert done.stderr.startswith(f"fmx: {message}")
    assert done.stderr.count("\n") == 1


def test_run_folder(trained: tuple[Path, Completed], run_folder: Path) -> None:
    """One epoch on all images writes all files of a run folder, with the date in its name."""
    assert trained[1].returncode == 0
    assert run_folder.name.startswith("baseline-20")
    assert sorted(path.name for path in run_folder.iterdir()) == [
        "checkpoint",
        "confused_pairs.txt",
        "confusion_matrix.png",
        "history.json",
        "learning_curves.png",
        "metrics.json",
        "model.keras",
        "run.json",
    ]
    assert run_folders.open_run(run_folder).finished
    model = keras.models.load_model(run_folder / "model.keras", compile=False)
    assert model.input_shape == (None, 28, 28, 1)
    for name in ("confusion_matrix.png", "learning_curves.png"):
        with Image.open(run_folder / name) as image:
            image.verify()
    assert len(json.loads((run_folder / "history.json").read_text("utf-8"))["epochs"]) == 1


def test_stdout(trained: tuple[Path, Completed], run_folder: Path) -> None:
    """Results go to stdout: accuracy and loss as in metrics.json, confused classes, the folder."""
    metrics = json.loads((run_folder / "metrics.json").read_text("utf-8"))
    *first, last = trained[1].stdout.splitlines()
    expected = [
        f"{metrics[part]['data']}: accuracy {metrics[part]['accuracy']:.2%}, "
        f"loss {metrics[part]['loss']:.4f} on {size} images"
        for part, size in (("validation", "5,000"), ("test", "10,000"))
    ]
    confused = [f"  {words}" for words in metrics["confused_pairs"]]
    assert first == [*expected, "most confused test images:", *confused]
    assert last.startswith(f"{run_folder.relative_to(trained[0])} holds ")
    assert metrics["test"]["accuracy"] > 0.8


def test_stderr(trained: tuple[Path, Completed]) -> None:
    """Progress goes to stderr: what is trained and a line for each epoch, nothing of libraries."""
    first, second = trained[1].stderr.splitlines()
    assert first.startswith("training baseline, 1 epochs, seed 0, on 55,000 images of fashion-")
    assert second.startswith("epoch  1/1  training loss 0.")


def test_unknown_recipe(fmx_in_process: Callable[..., Completed], tmp_path: Path) -> None:
    """The error names the recipes that there are, and no folder is created."""
    assert_error(
        fmx_in_process("train", "--recipe", "nonesuch"), "no recipe 'nonesuch'; choose baseline"
    )
    assert not list(tmp_path.iterdir())


def test_missing_data(
    fmx_in_process: Callable[..., Completed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing data folder is reported before a run folder is created."""
    assert_error(
        fmx_in_process("train", "--data-dir", "gone"), "'gone' (--data-dir) does not exist"
    )
    monkeypatch.setenv("FMX_DATA_DIR", "/nowhere")
    assert_error(fmx_in_process("train"), "'/nowhere' (FMX_DATA_DIR) does not exist")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("output", ["file", "file/run"])
def test_output_is_a_file(
    output: str, fmx_in_process: Callable[..., Completed], tmp_path: Path
) -> None:
    """A regular file where the run folder or its parent must be is said, and stays."""
    (tmp_path / "file").write_text("mine", "utf-8")
    assert_error(fmx_in_process("train", "-o", output), f"cannot write to '{output}': ")
    assert contents(tmp_path) == {"file": b"mine"}


def test_finished_run_is_kept(
    fmx_in_process: Callable[..., Completed], run_folder: Path, tmp_path: Path
) -> None:
    """A finished run is not overwritten."""
    shutil.copytree(run_folder, tmp_path / "done")
    assert_error(
        fmx_in_process("train", "--epochs", 1, "-o", "done"), "'done' holds a finished run"
    )
    assert contents(tmp_path / "done") == contents(run_folder)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no unfinished training run in 'runs'"),
        (["-o", "nowhere"], "'nowhere' holds no training run"),
        (["-o", "empty"], "'empty' holds no training run"),
        (["-o", "file"], "'file/run.json' cannot be read"),
        (["-o", "damaged"], "'damaged/run.json' is not JSON"),
    ],
)
def test_nothing_to_resume(
    words: list[str], message: str, fmx_in_process: Callable[..., Completed], tmp_path: Path
) -> None:
    """--resume without an unfinished run says where it looked."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/run.json").write_text("{", "utf-8")
    (tmp_path / "file").write_text("mine", "utf-8")
    assert_error(fmx_in_process("train", "--resume", *words), message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--epochs", "5"],
            "--epochs 3, which --resume cannot change; start a new run for --epochs 5",
        ),
        (["--seed", "1"], "--seed 0, "),
        (["--recipe", "other"], "--recipe baseline, "),
    ],
)
def test_resume_with_other_options(
    words: list[str],
    message: str,
    fmx_in_process: Callable[..., Completed],
    create_run: Callable[..., Run],
    tmp_path: Path,
) -> None:
    """Other epochs, seed or recipe than the run was started with are refused, not ignored."""
    create_run(tmp_path / "runs/mine")
    assert_error(
        fmx_in_process("train", "--resume", *words), f"'runs/mine' was started with {message}"
    )


def test_resume_with_other_data(
    fmx_in_process: Callable[..., Completed], create_run: Callable[..., Run], tmp_path: Path
) -> None:
    """A run started with other images is not resumed; its own options may be repeated."""
    create_run(tmp_path / "runs/mine")
    done = fmx_in_process("train", "--resume", "--epochs", 3, "--seed", 0, "--recipe", "baseline")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "fmx: 'runs/mine' was started with other training data than "
    )


def test_finished_run_is_not_resumed(
    fmx_in_process: Callable[..., Completed], run_folder: Path, tmp_path: Path
) -> None:
    """--resume without --output looks for unfinished runs only."""
    shutil.copytree(run_folder, tmp_path / "runs/done")
    assert_error(fmx_in_process("train", "--resume"), "no unfinished training run in 'runs'")
