"""``fmx bench`` of models and devices that cannot be measured."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fmx_benchmarks.benchmark import BenchOptions
from fmx_cli.workflows.benchmark import benchmark_files
from fmx_export.pipeline.inspect import inspect_file
from fmx_export.pipeline.manifest import MANIFEST, Manifest
from fmx_runtime.bench.result import Result
from fmx_runtime.errors import DataError, FmxError
from fmx_runtime.labeled_images import LabeledImages, save

if TYPE_CHECKING:
    from fmx_training.data.dataset import Splits


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def images(splits: Splits, tmp_path: Path) -> Path:
    """30 real test images."""
    few = splits.test.balanced_sample(30, 0)
    save(LabeledImages(few.name, few.images, few.labels, few.class_names), tmp_path / "few.npz")
    return tmp_path / "few.npz"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "'it' does not exist"),
        (lambda path: path.mkdir(), r"'it' has no manifest\.json: it is not an export folder"),
        (lambda path: path.write_text("no model", "utf-8"), "neither a TFLite nor an ONNX model"),
        (lambda path: path.write_bytes(b""), "neither a TFLite nor an ONNX model"),
    ],
)
def test_not_a_model(working_folder: Path, make: object, message: str) -> None:
    """A missing file, an empty folder and a file that is not a model give one line of error."""
    make(working_folder / "it")  # type: ignore[operator]
    with pytest.raises(FmxError, match=message) as caught:
        benchmark_files([Path("it")], BenchOptions())
    assert "\n" not in str(caught.value)
    assert not (working_folder / "reports").exists()


def test_no_exports(working_folder: Path) -> None:
    """Without any export the error names the command that exports."""
    with pytest.raises(DataError, match="no exported model in 'exports'; export one with"):
        benchmark_files([], BenchOptions())
    assert not list(working_folder.iterdir())


def test_manifest_without_files(working_folder: Path, exported: Path) -> None:
    """An export folder whose manifest lists no file is an error."""
    empty = dataclasses.replace(Manifest.read(exported), files=())
    (working_folder / MANIFEST).write_text(empty.to_json(), "utf-8")
    with pytest.raises(DataError, match="lists no model file: export again"):
        benchmark_files([working_folder], BenchOptions())


def test_missing_files(
    working_folder: Path, exported: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If files are missing, the others are measured, and the report and an error name them."""
    copy = shutil.copytree(exported, working_folder / "copy")
    for name in ("baseline.int8.onnx", "baseline.float32.onnx"):
        (copy / name).unlink()
    options = BenchOptions(repeats=1, iterations=5)
    with pytest.raises(DataError, match=r"not everything .*: 'baseline\.float32\.onnx', 'base"):
        benchmark_files([copy], options, images=images)
    report = (working_folder / "reports" / "baseline" / "report.md").read_text("utf-8")
    assert report.count("**not measured:** baseline.") == 2
    assert "TFLite int8 is" in report
    assert "TFLite int8" in capsys.readouterr().out
    (run,) = Result.from_json(
        (working_folder / "reports/baseline/result.json").read_text("utf-8")
    ).runs
    counted = inspect_file(copy / "baseline.int8.tflite").graph.totals.multiply_accumulates
    assert {one.macs for one in run.variants} == {counted}


def test_unreachable_device(
    working_folder: Path, exported: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was measured here is reported, with the reason why the device is missing."""
    monkeypatch.setenv("FMX_SSH", "ssh -F none -o BatchMode=yes")
    device = "ssh://nobody@127.0.0.1:1"
    options = BenchOptions(repeats=1, iterations=5, devices=(device,))
    with pytest.raises(DataError, match=r"the reports say why: 'ssh://nobody@127\.0\.0\.1:1'"):
        benchmark_files([exported / "baseline.int8.tflite"], options, images=images)
    report = (working_folder / "reports" / "baseline" / "report.md").read_text("utf-8")
    assert "cannot connect" in report
    assert "| TFLite int8 |" in report


def test_invalid_device(working_folder: Path, exported: Path) -> None:
    """Devices are checked before anything is measured."""
    with pytest.raises(DataError, match="write ssh://user@host"):
        benchmark_files([exported], BenchOptions(devices=("pi@raspberrypi",)))
    assert not (working_folder / "reports").exists()
