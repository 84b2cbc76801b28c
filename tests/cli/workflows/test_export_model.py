"""How ``fmx export`` finds the run or the model file, and which options apply to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fmx_cli.workflows.export_model import (
    ExportOptions,
    ExternalModelOptions,
    _is_model_of_run,
    export_model,
)
from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from fmx_training.run_folder import Run

    Completed = subprocess.CompletedProcess[str]

NOTHING = ExternalModelOptions(labels=None, calibration=None, input_range="auto", allow_code=False)


def assert_error(done: Completed, message: str) -> None:
    """Check that the command failed with this one line on stderr and printed nothing else."""
    assert done.returncode == 1
    assert not done.stdout
    assert done.stderr.startswith(f"fmx: {message}")
    assert done.stderr.count("\n") == 1


def test_no_runs(fmx_in_process: Callable[..., Completed], tmp_path: Path) -> None:
    """Without any run the error names the command that trains one, and nothing is written."""
    assert_error(
        fmx_in_process("export"), "no finished training run in 'runs'; 'fmx train' creates one"
    )
    assert not list(tmp_path.iterdir())


def test_unfinished_run(
    fmx_in_process: Callable[..., Completed], create_run: Callable[..., Run], tmp_path: Path
) -> None:
    """An unfinished run is not exported; the error says how to resume it."""
    create_run(tmp_path / "runs/mine")
    assert_error(
        fmx_in_process("export", "runs/mine"),
        "the training run 'runs/mine' is not finished; resume it with "
        "'fmx train --resume -o runs/mine'",
    )
    assert_error(fmx_in_process("export"), "no finished training run in 'runs'")


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["--labels", "labels.txt"], "--labels"),
        (["--calibration", "images"], "--calibration"),
        (["--input-range", "0..255"], "--input-range"),
        (["--allow-code"], "--allow-code"),
        (["--calibration", "images", "--labels", "labels.txt"], "--labels"),
    ],
)
@pytest.mark.parametrize("name", [None, "runs/mine", "runs/mine/model.keras"])
def test_run_needs_no_description(
    name: str | None,
    words: list[str],
    option: str,
    fmx_in_process: Callable[..., Completed],
    tmp_path: Path,
) -> None:
    """For a run, its model.keras or the newest run, options of other models are refused."""
    (tmp_path / "runs/mine").mkdir(parents=True)
    for file in ("run.json", "model.keras"):
        (tmp_path / "runs/mine" / file).write_text("{}", "utf-8")
    assert_error(
        fmx_in_process("export", *([name] if name else []), *words),
        f"{option} does not apply to a training run, which stores its labels, images and ",
    )
    assert not (tmp_path / "exports").exists()


def test_model_file_has_no_data_set(tmp_path: Path) -> None:
    """--data-dir is refused for a model file that is not a run's, before the file is read."""
    (tmp_path / "net.keras").write_bytes(b"no model")
    with pytest.raises(DataError, match=r"--data-dir applies to training runs, and '.*net\.keras'"):
        export_model(tmp_path / "net.keras", ExportOptions(), data_dir=tmp_path, external=NOTHING)


def test_int8_needs_calibration_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Int8 files of a model file need images; the error comes before the file is read."""
    (tmp_path / "net.keras").write_bytes(b"no model")
    with pytest.raises(DataError, match=r"^tflite-int8 needs --calibration: a folder or"):
        export_model(tmp_path / "net.keras", ExportOptions(), data_dir=None, external=NOTHING)
    assert capsys.readouterr() == ("", "")


def test_model_of_a_run(tmp_path: Path) -> None:
    """Only the model.keras beside a run.json is a run's, by whatever path it is named."""
    run = tmp_path / "run"
    (run / "checkpoint").mkdir(parents=True)
    for file in ("model.keras", "other.keras", "checkpoint/model.keras"):
        (run / file).touch()
    assert not _is_model_of_run(run / "model.keras")
    (run / "run.json").touch()
    assert _is_model_of_run(run / "model.keras")
    assert _is_model_of_run(run / "checkpoint/../model.keras")
    assert not _is_model_of_run(run / "other.keras")
    assert not _is_model_of_run(run / "checkpoint/model.keras")


def test_given_options() -> None:
    """The options that differ from their defaults are named in the order of the help."""
    assert NOTHING.given() == []
    everything = ExternalModelOptions(
        labels=Path("labels.txt"), calibration=Path("images"), input_range="0..1", allow_code=True
    )
    assert everything.given() == ["--labels", "--calibration", "--input-range", "--allow-code"]
