"""The command as users run it: in a process of its own or, where that is enough, in this one."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fmx_cli import app
from fmx_runtime.bench.result import Failure, Result

if TYPE_CHECKING:
    from collections.abc import Callable

    from fmx_training.data.fashion_mnist import Found

    Completed = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def fmx_path() -> Path:
    """The installed command."""
    return Path(sys.executable).with_name("fmx")


@pytest.fixture(scope="session")
def environment(found: Found) -> dict[str, str]:
    """This process's environment, with the data's folder and without settings of the terminal."""
    unset = {"COLUMNS", "FORCE_COLOR", "NO_COLOR", "TF_CPP_MIN_LOG_LEVEL"}
    inherited = {name: value for name, value in os.environ.items() if name not in unset}
    return {**inherited, "FMX_DATA_DIR": str(found.folder)}


@pytest.fixture(scope="session")
def fmx(fmx_path: Path, environment: dict[str, str]) -> Callable[..., Completed]:
    """Run the installed command: ``fmx("data", cwd=folder)``."""

    def fmx(*arguments: object, cwd: Path, **changes: str) -> Completed:
        return subprocess.run(
            [fmx_path, *map(str, arguments)],
            cwd=cwd,
            env={**environment, **changes},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return fmx


@pytest.fixture
def fmx_in_process(
    tmp_path: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Completed]:
    """Run the command in this process, in an empty working folder: ``fmx_in_process("data")``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FMX_DATA_DIR", environment["FMX_DATA_DIR"])

    def fmx_in_process(*arguments: object) -> Completed:
        monkeypatch.setattr(sys, "argv", ["fmx", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            app.main()
        code = caught.value.code
        captured = capsys.readouterr()
        return subprocess.CompletedProcess(
            arguments, code if isinstance(code, int) else 0, captured.out, captured.err
        )

    return fmx_in_process


@pytest.fixture(scope="session")
def trained(
    fmx: Callable[..., Completed],
    made_once: Callable[[str, Callable[[Path], None]], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Completed]:
    """A working folder in which ``baseline`` was trained for one epoch, and what was printed."""

    def train(folder: Path) -> None:
        (folder / "working").mkdir(parents=True)
        done = fmx("train", "--recipe", "baseline", "--epochs", 1, cwd=folder / "working")
        printed = [done.returncode, done.stdout, done.stderr]
        (folder / "printed.json").write_text(json.dumps(printed), "utf-8")

    made = made_once("fmx-train", train)
    printed = json.loads((made / "printed.json").read_text("utf-8"))
    folder = shutil.copytree(made / "working", tmp_path_factory.mktemp("trained") / "working")
    return folder, subprocess.CompletedProcess(["fmx", "train"], *printed)


@pytest.fixture(scope="session")
def run_folder(trained: tuple[Path, Completed]) -> Path:
    """The run folder of that training."""
    (only,) = (trained[0] / "runs").iterdir()
    return only


@pytest.fixture(scope="session")
def reference_result() -> Path:
    """The benchmark result of the reference report."""
    return Path(__file__).parents[2] / "benchmarks" / "reference" / "result.json"


@pytest.fixture
def worse(reference_result: Path, tmp_path: Path) -> Path:
    """The reference result with a slower TFLite int8 file, and with a failed ONNX int8 file."""
    result = Result.from_json(reference_result.read_text("utf-8"))
    (run,) = result.runs
    slow = tuple(
        dataclasses.replace(one, latencies_us=tuple(1.3 * us for us in one.latencies_us))
        for one in run.variants[3].repeats
    )
    slower = dataclasses.replace(run.variants[3], repeats=slow)
    failure = Failure(name="baseline.int8.onnx", reason="it is damaged [again]")
    changed = dataclasses.replace(
        run, variants=(*run.variants[:3], slower), failures=(failure,)
    )  # fmt: skip
    path = tmp_path / "worse.json"
    path.write_text(dataclasses.replace(result, runs=(changed,)).to_json(), "utf-8")
    return path
