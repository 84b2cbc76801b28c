"""``fmx export`` of a training run."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import zipfile
from typing import TYPE_CHECKING

import pytest

from fmx_export.pipeline import provenance
from fmx_runtime.classifier import Classifier
from fmx_training import run_folder

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from fmx_training.data.dataset import Splits
    from fmx_training.run_folder import Run

    Completed = subprocess.CompletedProcess[str]

FLOATS = ["baseline.float32.onnx", "baseline.float32.tflite"]
PROGRESS = r"exporting|running the Keras model|converting|without --calibration"
INT8 = ["baseline.int8.onnx", "baseline.int8.tflite"]


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of each file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def assert_error(done: Completed, message: str) -> None:
    """Check that the command printed this error after its progress, and no results."""
    assert done.returncode in {1, 3}
    assert not done.stdout
    *progress, last = done.stderr.splitlines()
    assert last.startswith(f"fmx: {message}")
    assert all(re.match(PROGRESS, line) for line in progress)


@pytest.fixture(scope="session")
def newest(
    trained: tuple[Path, Completed], fmx: Callable[..., Completed]
) -> tuple[Path, Completed]:
    """The export folder of ``fmx export --int8`` after the training, and what was printed."""
    return trained[0] / "exports/baseline", fmx("export", "--int8", cwd=trained[0])


@pytest.fixture
def earlier(newest: tuple[Path, Completed], tmp_path: Path) -> Path:
    """An earlier export in the default folder of the next one."""
    return shutil.copytree(newest[0], tmp_path / "exports/baseline")


@pytest.fixture
def copied(run_folder: Path, tmp_path: Path) -> Path:
    """A copy of the finished run as runs/mine in the working folder."""
    return shutil.copytree(run_folder, tmp_path / "runs/mine")


def test_newest_run(newest: tuple[Path, Completed], run_folder: Path) -> None:
    """Without an argument the newest run in runs/ is exported to exports/RECIPE."""
    folder, done = newest
    assert done.returncode == 0
    assert sorted(contents(folder)) == sorted([*FLOATS, *INT8, "manifest.json"])
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert (folder / manifest["keras_model"]).samefile(run_folder / "model.keras")
    assert manifest["provenance"]["versions"] == provenance.versions()
    for file in manifest["files"]:
        content = (folder / file["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file["sha256"]


def test_results_and_progress(newest: tuple[Path, Completed]) -> None:
    """Stdout has a row for each file, stderr a line for each step and no output of libraries."""
    done = newest[1]
    manifest = json.loads((newest[0] / "manifest.json").read_text("utf-8"))
    accuracy = manifest["files"][0]["accuracy"]
    rows = [line.split() for line in done.stdout.splitlines()]
    assert done.stdout.startswith(
        "verified on 5,000 images of fashion-mnist validation; Keras accuracy "
    )
    for file in manifest["files"]:
        size = f"{file['size_bytes'] / 1000:,.0f}"
        expected = (f"{file['accuracy'][name]:.2%}" for name in ("file", "agreement"))
        row = next(row for row in rows if row[:1] == [file["file"]])
        assert row[1:4] == [size, *expected]
        assert ("x" in row[-1]) == (file["precision"] == "int8")
        assert file["accuracy"]["file"] > accuracy["keras"] - 0.005
    assert done.stdout.splitlines()[-1] == "exports/baseline holds these files and manifest.json"
    first, *steps = done.stderr.splitlines()
    assert first.startswith("exporting runs/baseline-20")
    assert len(steps) == 7


def test_calibration_images(newest: tuple[Path, Completed], splits: Splits) -> None:
    """The metadata states 500 training images for calibration and 5,000 validation images."""
    metadata = Classifier(newest[0] / INT8[0]).metadata
    assert metadata.quantization is not None
    assert metadata.accuracy is not None
    assert (metadata.quantization.size, metadata.quantization.split) == (500, splits.train.name)
    assert (metadata.accuracy.size, metadata.accuracy.data) == (5000, splits.validation.name)


@pytest.mark.parametrize("name", ["runs/mine", "runs/mine/model.keras"])
def test_named_run(
    name: str,
    fmx_in_process: Callable[..., Completed],
    copied: Path,
    newest: tuple[Path, Completed],
    tmp_path: Path,
) -> None:
    """A run folder, or its model.keras, is exported to -o; without --int8 as float files only."""
    done = fmx_in_process("export", name, "-o", "out")
    assert done.returncode == 0
    files = contents(tmp_path / "out")
    assert sorted(files) == [*FLOATS, "manifest.json"]
    manifest = json.loads(files["manifest.json"])
    assert (tmp_path / "out" / manifest["keras_model"]).samefile(copied / "model.keras")
    digests = {file["file"]: file["sha256"] for file in manifest["files"]}
    assert sorted(digests) == FLOATS
    assert Classifier(newest[0] / FLOATS[0]).metadata.model_sha256 == (
        Classifier(tmp_path / "out" / FLOATS[0]).metadata.model_sha256
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "'nowhere' does not exist; give a run folder"),
        ("runs", "'runs' holds no training run (no run.json)"),
        ("notes.txt", "'notes.txt' is not a Keras model, or is truncated"),
        ("runs/mine/history.json", "'runs/mine/history.json' is not a Keras model"),
        (
            "runs/mine/checkpoint/epoch-001.keras",
            "'runs/mine/checkpoint/epoch-001.keras' does not state its input range",
        ),
        ("", "'.' holds no training run"),
    ],
)
@pytest.mark.usefixtures("copied")
def test_not_a_run(
    name: str, message: str, fmx_in_process: Callable[..., Completed], earlier: Path, tmp_path: Path
) -> None:
    """A path to something else gives one line of error, and the earlier export stays."""
    (tmp_path / "notes.txt").write_text("mine", "utf-8")
    before = contents(earlier)
    assert_error(fmx_in_process("export", name), message)
    assert contents(tmp_path / "exports") == {f"baseline/{n}": c for n, c in before.items()}


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
        (lambda path: path.write_text("hello", "utf-8"), "is not a Keras model, or is truncated"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:-100]),
            "is not a Keras model, or is trunc",
        ),
        (lambda path: path.unlink(), "is missing; train again"),
        (_without_settings, "is not a readable Keras model: "),
        (_flip_a_byte, "is not a readable Keras model: Bad CRC-32"),
    ],
    ids=["text", "cut", "gone", "no settings", "one byte"],
)
def test_damaged_model(
    damage: Callable[[Path], None],
    message: str,
    fmx_in_process: Callable[..., Completed],
    copied: Path,
    earlier: Path,
) -> None:
    """An unreadable model.keras is named with the reason, and the earlier export stays."""
    damage(copied / "model.keras")
    before = contents(earlier)
    assert_error(
        fmx_in_process("export", "runs/mine", "--int8"), f"'runs/mine/model.keras' {message}"
    )
    assert contents(earlier) == before


def test_too_few_labels(fmx_in_process: Callable[..., Completed], copied: Path) -> None:
    """A run with fewer labels than the model has classes is refused."""
    path = run_folder.open_run(copied).folder / "run.json"
    info = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**info, "labels": info["labels"][1:]}), "utf-8")
    assert_error(
        fmx_in_process("export"),
        "'runs/mine/model.keras' has the input shape (28, 28, 1) and the output shape (10,)",
    )


def test_other_data(
    fmx_in_process: Callable[..., Completed], finished: Run, tmp_path: Path
) -> None:
    """A run that was trained on other images is not exported with these."""
    shutil.copytree(finished.folder, tmp_path / "runs/mine")
    assert_error(
        fmx_in_process("export"),
        "'runs/mine' was started with other training data than fashion-mnist",
    )


@pytest.mark.parametrize("output", ["file", "file/out"])
@pytest.mark.usefixtures("copied")
def test_output_is_a_file(
    output: str, fmx_in_process: Callable[..., Completed], tmp_path: Path
) -> None:
    """A regular file in place of the folder or of its parent is an error, and stays."""
    (tmp_path / "file").write_text("mine", "utf-8")
    assert_error(fmx_in_process("export", "-o", output), f"cannot write to '{output}': ")
    assert (tmp_path / "file").read_text("utf-8") == "mine"


@pytest.mark.usefixtures("copied")
def test_missing_data(fmx_in_process: Callable[..., Completed]) -> None:
    """A data folder that does not exist gives one line of error."""
    assert_error(
        fmx_in_process("export", "--data-dir", "gone"), "'gone' (--data-dir) does not exist"
    )


@pytest.mark.usefixtures("copied")
def test_too_many_calibration_images(fmx_in_process: Callable[..., Completed]) -> None:
    """There cannot be more calibration images than training images."""
    assert_error(
        fmx_in_process("export", "--int8", "--calibration-size", 55001),
        "fashion-mnist train: a sample must have 1 to 55000 images. Received: 55001",
    )
