"""``fmx bench`` given what it cannot measure."""

from __future__ import annotations

import dataclasses
import shutil
from typing import TYPE_CHECKING

import pytest

from fmx_cli.bench import Wanted, bench_files
from fmx_export.pipeline.inspect import inspect_file
from fmx_export.pipeline.manifest import MANIFEST, Manifest
from fmx_runtime.bench.result import Result
from fmx_runtime.errors import DataError, FmxError
from fmx_runtime.labeled_images import LabeledImages, save

if TYPE_CHECKING:
    from pathlib import Path

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
        (lambda path: path.mkdir(), r"'it' has no manifest\.json: it is no export folder"),
        (lambda path: path.write_text("no model", "utf-8"), "neither a TFLite nor an ONNX model"),
        (lambda path: path.write_bytes(b""), "neither a TFLite nor an ONNX model"),
    ],
)
def test_what_is_no_model_is_named(working_folder: Path, make: object, message: str) -> None:
    """A missing file, an empty folder and a file that is no model are one line each."""
    make(working_folder / "it")  # type: ignore[operator]
    with pytest.raises(FmxError, match=message) as caught:
        bench_files([working_folder.joinpath("it").relative_to(working_folder)], None, None)
    assert "\n" not in str(caught.value)
    assert not (working_folder / "reports").exists()


def test_nothing_exported_yet(working_folder: Path) -> None:
    """Without an export the remedy is the export command."""
    with pytest.raises(DataError, match="no exported model in 'exports'; 'fmx export --int8'"):
        bench_files([], None, None)
    assert not list(working_folder.iterdir())


def test_a_manifest_without_files(working_folder: Path, exported: Path) -> None:
    """An export folder that lists no file is named."""
    empty = dataclasses.replace(Manifest.read(exported), files=())
    (working_folder / MANIFEST).write_text(empty.to_json(), "utf-8")
    with pytest.raises(DataError, match="lists no model file: export again"):
        bench_files([working_folder], None, None)


def test_a_file_of_the_manifest_is_gone(
    working_folder: Path, exported: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The files that are there are measured, the report says what is not, and the command fails."""
    copy = shutil.copytree(exported, working_folder / "copy")
    for name in ("baseline.int8.onnx", "baseline.float32.onnx"):
        (copy / name).unlink()
    wanted = Wanted(images=images, rounds=1, calls=5)
    with pytest.raises(DataError, match=r"not everything .*: 'baseline\.float32\.onnx', 'base"):
        bench_files([copy], None, None, wanted)
    report = (working_folder / "reports" / "baseline" / "report.md").read_text("utf-8")
    assert report.count("**not measured:** baseline.") == 2
    assert "TFLite int8 is" in report
    assert "TFLite int8" in capsys.readouterr().out
    (run,) = Result.from_json(
        (working_folder / "reports/baseline/result.json").read_text("utf-8")
    ).runs
    counted = inspect_file(copy / "baseline.int8.tflite").graph.totals.multiply_accumulates
    assert {one.macs for one in run.variants} == {counted}


def test_a_device_that_cannot_be_reached(
    working_folder: Path, exported: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was measured here is kept, and the report says why the device is not in it."""
    monkeypatch.setenv("FMX_SSH", "ssh -F none -o BatchMode=yes")
    wanted = Wanted(images=images, rounds=1, calls=5, devices=("ssh://nobody@127.0.0.1:1",))
    with pytest.raises(DataError, match=r"the reports say why: 'ssh://nobody@127\.0\.0\.1:1'"):
        bench_files([exported / "baseline.int8.tflite"], None, None, wanted)
    report = (working_folder / "reports" / "baseline" / "report.md").read_text("utf-8")
    assert "cannot connect" in report
    assert "| TFLite int8 |" in report


def test_what_is_no_device(working_folder: Path, exported: Path) -> None:
    """A device is checked before anything is measured."""
    with pytest.raises(DataError, match="write ssh://user@host"):
        bench_files([exported], None, None, Wanted(devices=("pi@raspberrypi",)))
    assert not (working_folder / "reports").exists()
