"""What ``fmx export`` prints about written and rejected files."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from fmx_cli.output.export_results import print_results
from fmx_export.common.errors import AccuracyControlError
from fmx_export.pipeline.manifest import Attempt, Manifest, RejectedFile

if TYPE_CHECKING:
    from pathlib import Path


def test_written_files(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each file has a row with its size, accuracy, agreement and, if measured, its speed."""
    manifest = Manifest.read(exported)
    print_results(manifest, exported, {"baseline.int8.tflite": 2.34})
    captured = capsys.readouterr()
    lines = [line.split() for line in captured.out.splitlines()]
    for file in manifest.files:
        row = next(line for line in lines if line[:1] == [file.file])
        size = f"{file.size_bytes / 1000:,.0f}"
        figures = [size, f"{file.accuracy.file:.2%}", f"{file.accuracy.agreement:.2%}"]
        speed = ["2.3x"] if file.file == "baseline.int8.tflite" else []
        assert row[1:] == [*figures, *speed]
    assert not captured.err


def test_rejected_files(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rejected file ends with an error; its reason and its attempts are on stderr."""
    manifest = Manifest.read(exported)
    kept, rejected = manifest.files[0], manifest.files[-1]
    accuracy = dataclasses.replace(rejected.accuracy, file=0.5)
    unlabeled = dataclasses.replace(accuracy, file=None, agreement=0.25)
    attempts = (
        Attempt(calibration="min-max", excluded_layers=(), accuracy=accuracy, passed=False),
        Attempt(
            calibration="percentile", excluded_layers=("dense",), accuracy=unlabeled, passed=False
        ),
    )
    partial = dataclasses.replace(
        manifest,
        files=(dataclasses.replace(kept, attempts=attempts),),
        rejected=(RejectedFile(rejected.file, "loses too much", attempts),),
    )
    with pytest.raises(AccuracyControlError, match=f"not written: {rejected.file}; .*manifest"):
        print_results(partial, exported, {})
    captured = capsys.readouterr()
    described = "min-max 50.00%, percentile with 1 float layers 25.00% agreement"
    assert f"{rejected.file}: loses too much\nattempts: {described}\n" == captured.err
    assert f"{kept.file} needed 2 attempts: {described}\n" in captured.out
