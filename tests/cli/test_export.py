"""``fmx export``."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from typing import TYPE_CHECKING

import pytest

from fmx_export import provenance
from fmx_runtime.classifier import Classifier
from fmx_training import run as runs

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from fmx_training.dataset import Splits
    from fmx_training.run import Run

    Done = subprocess.CompletedProcess[str]

FLOATS = ["baseline.float32.onnx", "baseline.float32.tflite"]
INT8 = ["baseline.int8.onnx", "baseline.int8.tflite"]


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def complains(done: Done, message: str) -> None:
    """The command failed with one line of its own, besides its progress, and without results."""
    assert done.returncode in {1, 3}
    assert not done.stdout
    *progress, last = done.stderr.splitlines()
    assert last.startswith(f"fmx: {message}")
    assert all(line.startswith(("exporting", "asking", "converting")) for line in progress)


@pytest.fixture(scope="session")
def newest(trained: tuple[Path, Done], fmx: Callable[..., Done]) -> tuple[Path, Done]:
    """The export folder of ``fmx export --int8``, run where the training ran, and its words."""
    return trained[0] / "exports/baseline", fmx("export", "--int8", cwd=trained[0])


@pytest.fixture
def earlier(newest: tuple[Path, Done], tmp_path: Path) -> Path:
    """An earlier export, in the place where the next one goes by default."""
    return shutil.copytree(newest[0], tmp_path / "exports/baseline")


@pytest.fixture
def copied(run_folder: Path, tmp_path: Path) -> Path:
    """The finished run as runs/mine in the working folder."""
    return shutil.copytree(run_folder, tmp_path / "runs/mine")


def test_the_newest_run(newest: tuple[Path, Done], run_folder: Path) -> None:
    """Without a name the newest run in runs/ is exported, to exports/RECIPE."""
    folder, done = newest
    assert done.returncode == 0
    assert sorted(contents(folder)) == sorted([*FLOATS, *INT8, "manifest.json"])
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert (folder / manifest["keras_model"]).samefile(run_folder / "model.keras")
    assert manifest["provenance"]["versions"] == provenance.versions()
    for file in manifest["files"]:
        content = (folder / file["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file["sha256"]


def test_results_and_progress(newest: tuple[Path, Done]) -> None:
    """A row for each file on stdout, a line for each step, and no chatter, on stderr."""
    done = newest[1]
    manifest = json.loads((newest[0] / "manifest.json").read_text("utf-8"))
    accuracy = manifest["files"][0]["accuracy"]
    rows = [line.split() for line in done.stdout.splitlines()]
    assert done.stdout.startswith("on 5,000 pictures of fashion-mnist validation; Keras ")
    for file in manifest["files"]:
        size = f"{file['size_bytes'] / 1000:,.0f}"
        said = (f"{file['accuracy'][name]:.2%}" for name in ("file", "agreement"))
        assert [file["file"], size, *said] in rows
        assert file["accuracy"]["file"] > accuracy["keras"] - 0.005
    assert done.stdout.splitlines()[-1] == "exports/baseline holds these files and manifest.json"
    first, *steps = done.stderr.splitlines()
    assert first.startswith("exporting runs/baseline-20")
    assert len(steps) == 5


def test_calibration_is_from_the_training_pictures(
    newest: tuple[Path, Done], splits: Splits
) -> None:
    """500 training pictures set the ranges, and 5,000 others were asked about, says the card."""
    card = Classifier(newest[0] / INT8[0]).card
    assert card.quantization is not None
    assert card.accuracy is not None
    assert (card.quantization.size, card.quantization.split) == (500, splits.train.name)
    assert (card.accuracy.size, card.accuracy.data) == (5000, splits.validation.name)


@pytest.mark.parametrize("name", ["runs/mine", "runs/mine/model.keras"])
def test_a_named_run(
    name: str, here: Callable[..., Done], copied: Path, newest: tuple[Path, Done], tmp_path: Path
) -> None:
    """A run folder, or the model.keras in it, is exported to -o; without --int8 as float files."""
    done = here("export", name, "-o", "out")
    assert done.returncode == 0
    files = contents(tmp_path / "out")
    assert sorted(files) == [*FLOATS, "manifest.json"]
    manifest = json.loads(files["manifest.json"])
    assert (tmp_path / "out" / manifest["keras_model"]).samefile(copied / "model.keras")
    digests = {file["file"]: file["sha256"] for file in manifest["files"]}
    assert sorted(digests) == FLOATS
    assert Classifier(newest[0] / FLOATS[0]).card.model_sha256 == (
        Classifier(tmp_path / "out" / FLOATS[0]).card.model_sha256
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "'nowhere' does not exist; give a run folder"),
        ("runs", "'runs' holds no training run (no run.json)"),
        ("notes.txt", "'notes.txt' is not the model.keras of a training run"),
        ("runs/mine/history.json", "'runs/mine/history.json' is not the model of the training run"),
        ("runs/mine/checkpoint/epoch-001.keras", "'runs/mine/checkpoint/epoch-001.keras' is not"),
        ("", "'.' holds no training run"),
    ],
)
@pytest.mark.usefixtures("copied")
def test_what_is_no_run(
    name: str, message: str, here: Callable[..., Done], earlier: Path, tmp_path: Path
) -> None:
    """A path to something else is said in one line, and the earlier export stays."""
    (tmp_path / "notes.txt").write_text("mine", "utf-8")
    before = contents(earlier)
    complains(here("export", "--int8", name), message)
    assert contents(tmp_path / "exports") == {f"baseline/{n}": c for n, c in before.items()}


def test_no_run_at_all(here: Callable[..., Done], tmp_path: Path) -> None:
    """Where nothing was trained yet, the command that does is named; nothing is made."""
    complains(here("export"), "no finished training run in 'runs'; 'fmx train' makes one")
    assert not list(tmp_path.iterdir())


def test_an_unfinished_run(
    here: Callable[..., Done], begin: Callable[..., Run], tmp_path: Path
) -> None:
    """A run that was stopped is not exported: how to go on with it is said."""
    begin(tmp_path / "runs/mine")
    complains(
        here("export", "runs/mine"),
        "'runs/mine' is not trained to the end: 'fmx train --resume -o runs/mine'",
    )
    complains(here("export"), "no finished training run in 'runs'")


def _without_settings(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        weights = archive.read("model.weights.h5")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", weights)


def _flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_text("hello", "utf-8"), "is no Keras model, or was cut short"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "is no Keras model, or was cut"),
        (lambda path: path.unlink(), "is missing; train again"),
        (_without_settings, "is no Keras model that can be read: "),
        (_flip_a_byte, "is no Keras model that can be read: Bad CRC-32"),
    ],
    ids=["text", "cut", "gone", "no settings", "one byte"],
)
def test_a_damaged_model(
    damage: Callable[[Path], None],
    message: str,
    here: Callable[..., Done],
    copied: Path,
    earlier: Path,
) -> None:
    """A model.keras that cannot be read is named with the reason, and the earlier export stays."""
    damage(copied / "model.keras")
    before = contents(earlier)
    complains(here("export", "runs/mine", "--int8"), f"'runs/mine/model.keras' {message}")
    assert contents(earlier) == before


def test_other_labels_than_the_model_has(here: Callable[..., Done], copied: Path) -> None:
    """A run whose labels were edited to be fewer is refused: classes and labels must match."""
    path = runs.open_run(copied).folder / "run.json"
    info = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**info, "labels": info["labels"][1:]}), "utf-8")
    complains(here("export"), "'runs/mine/model.keras': input and output are stated as")


def test_other_data(here: Callable[..., Done], finished: Run, tmp_path: Path) -> None:
    """A run that was trained on other pictures is not calibrated and judged with these."""
    shutil.copytree(finished.folder, tmp_path / "runs/mine")
    complains(here("export"), "'runs/mine' was trained on other data than fashion-mnist train now")


@pytest.mark.parametrize("output", ["file", "file/out"])
@pytest.mark.usefixtures("copied")
def test_an_output_that_cannot_be_a_folder(
    output: str, here: Callable[..., Done], tmp_path: Path
) -> None:
    """A regular file where the folder or its parent must be is said, and stays."""
    (tmp_path / "file").write_text("mine", "utf-8")
    complains(here("export", "-o", output), f"cannot write to '{output}': ")
    assert (tmp_path / "file").read_text("utf-8") == "mine"


@pytest.mark.usefixtures("copied")
def test_without_data(here: Callable[..., Done]) -> None:
    """Data that are not where they should be are said in one line."""
    complains(here("export", "--data-dir", "gone"), "'gone' (--data-dir) does not exist")
