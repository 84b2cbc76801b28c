"""A whole benchmark: this machine, a device, reports; failures and interruptions."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fmx_benchmarks.benchmark import JOURNAL, BenchOptions, run_benchmark
from fmx_runtime.bench.result import Result
from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmx_runtime.labeled_images import LabeledImages

    Server = Any  # of conftest.py


def _run(
    files: Sequence[Path], labeled: LabeledImages, folder: Path, **options: Any
) -> tuple[Result, list[str]]:
    """Benchmark files without Keras, and return the result and the steps."""
    steps: list[str] = []
    result, _ = run_benchmark(
        files,
        labeled,
        folder,
        BenchOptions(**{"repeats": 1, "iterations": 5, **options}),
        keras_model=None,
        count_macs=lambda path: len(path.name),
        progress=steps.append,
    )
    return result, steps


def test_reports_are_written(files: Sequence[Path], labeled: LabeledImages, tmp_path: Path) -> None:
    """The result is in result.json with the counted MACs, and the journal is removed."""
    result, _ = _run(files[2:3], labeled, tmp_path / "made")
    names = {path.name for path in (tmp_path / "made").iterdir()}
    assert names == {"result.json", "report.md", "report.html"}
    assert Result.from_json((tmp_path / "made/result.json").read_text("utf-8")) == result
    assert result.runs[0].variants[0].macs == len(files[2].name)


@pytest.mark.slow
def test_a_device_and_one_that_fails(
    sshd: Server,
    files: Sequence[Path],
    labeled: LabeledImages,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A device adds a run with the same predictions; one that cannot be reached adds a failure."""
    monkeypatch.setenv("FMX_SSH", sshd.ssh())
    devices = (sshd.url, "ssh://nobody@127.0.0.1:1")
    result, _ = _run(files[2:3], labeled, tmp_path, devices=devices)
    local, remote = result.runs
    assert remote.device == f"127.0.0.1:{sshd.port}"
    assert remote.variants[0].predictions == local.variants[0].predictions
    assert remote.variants[0].macs == local.variants[0].macs
    (failure,) = local.failures
    assert failure.name == devices[1]
    assert "cannot connect" in failure.reason


def test_an_interrupted_benchmark_is_resumed(
    files: Sequence[Path], labeled: LabeledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Ctrl-C while a device is measured, this machine is not measured again."""
    monkeypatch.setenv("FMX_SSH", "false")

    def interrupt(step: str) -> None:
        if step.startswith("throughput 3"):
            raise KeyboardInterrupt

    options = BenchOptions(repeats=1, iterations=5)
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(files[2:3], labeled, tmp_path, options, keras_model=None, progress=interrupt)
    kept = (tmp_path / JOURNAL).read_text("utf-8")
    result, _ = _run(files[2:3], labeled, tmp_path, resume=True)
    assert str(result.runs[0].variants[0].repeats[0].peak_bytes) in kept
    assert not (tmp_path / JOURNAL).exists()


def test_options_are_checked_first(
    files: Sequence[Path], labeled: LabeledImages, tmp_path: Path
) -> None:
    """A wrong device or number is refused before anything is measured or written."""
    folder = tmp_path / "made"
    with pytest.raises(DataError, match="write ssh://user@host"):
        _run(files, labeled, folder, devices=("pi@raspberrypi",))
    with pytest.raises(DataError, match=r"repeats must be at least 1\. Received: repeats=0"):
        _run(files, labeled, folder, repeats=0)
    with pytest.raises(DataError, match="nothing to resume"):
        _run(files, labeled, folder, resume=True)
    assert not list(folder.glob("*"))


def test_a_file_that_disappears(
    files: Sequence[Path], labeled: LabeledImages, tmp_path: Path
) -> None:
    """It is a failure in the result, and the others are measured to the end."""
    lost = Path(shutil.copy(files[2], tmp_path / "lost.tflite"))

    def remove(step: str) -> None:
        if step.startswith("repeat 2"):
            lost.unlink()

    result, _ = run_benchmark(
        [lost, files[2]],
        labeled,
        tmp_path / "reports",
        BenchOptions(repeats=2, iterations=5),
        keras_model=None,
        progress=remove,
    )
    (run,) = result.runs
    assert [one.name for one in run.variants] == [files[2].name]
    assert [one.name for one in run.failures] == ["lost.tflite"]
