"""Writing and reading manifests, without the converters' libraries."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fmx_export.pipeline.manifest import MANIFEST, Attempt, Manifest, RejectedFile
from fmx_runtime.errors import DataError
from fmx_runtime.model_file.metadata import Accuracy

if TYPE_CHECKING:
    from pathlib import Path


def test_round_trip(exported: Path) -> None:
    """A real export's manifest is the same after reading and writing, to the byte."""
    manifest = Manifest.read(exported)
    assert manifest.to_json() == (exported / MANIFEST).read_text("utf-8")
    assert [file.file for file in manifest.files] == [
        "baseline.float32.tflite",
        "baseline.float32.onnx",
        "baseline.int8.tflite",
        "baseline.int8.onnx",
    ]


def test_round_trip_of_all_fields(exported: Path, tmp_path: Path) -> None:
    """Attempts, rejected files and layer reports are read as they were written."""
    unlabeled = Accuracy(keras=None, file=None, agreement=0.5, data="my images", size=4)
    attempts = (
        Attempt(calibration="min-max", excluded_layers=(), accuracy=unlabeled, passed=False),
        Attempt(
            calibration="entropy", excluded_layers=("a/b;c", "d"), accuracy=unlabeled, passed=True
        ),
    )
    original = Manifest.read(exported)
    first, *others = original.files
    manifest = dataclasses.replace(
        original,
        files=(
            dataclasses.replace(first, attempts=attempts, float_operators=("CONV_2D",)),
            *others,
        ),
        rejected=(RejectedFile("x.int8.onnx", "accuracy drops", attempts[:1]),),
        layer_reports=("x.layers.md", "x.layers.png"),
    )
    (tmp_path / MANIFEST).write_text(manifest.to_json(), "utf-8")
    assert Manifest.read(tmp_path) == manifest
    assert manifest.file_names == (*original.file_names, "x.layers.md", "x.layers.png")


def test_nan_is_not_written(exported: Path) -> None:
    """JSON has no NaN: a manifest with one is an error, not an invalid document."""
    manifest = Manifest.read(exported)
    accuracy = dataclasses.replace(manifest.files[0].accuracy, agreement=math.nan)
    damaged = dataclasses.replace(manifest.files[0], accuracy=accuracy)
    with pytest.raises(ValueError, match="holds NaN or infinity"):
        dataclasses.replace(manifest, files=(damaged,)).to_json()


def test_manifest_without_optional_fields(exported: Path, tmp_path: Path) -> None:
    """A manifest without attempts, rejected files and layer reports is read."""
    data = json.loads((exported / MANIFEST).read_text("utf-8"))
    for key in ("rejected", "layer_reports"):
        del data[key]
    for file in data["files"]:
        del file["attempts"], file["float_operators"]
    (tmp_path / MANIFEST).write_text(json.dumps(data), "utf-8")
    manifest = Manifest.read(tmp_path)
    assert manifest.file_names == Manifest.read(exported).file_names
    assert (manifest.rejected, manifest.layer_reports) == ((), ())


@pytest.mark.parametrize("text", ["", "[]", '{"name": 3}', '{"name": "x"}', "\udcff"])
def test_damaged_manifest(text: str, tmp_path: Path) -> None:
    """A damaged manifest is an error of one line with its path and the remedy."""
    (tmp_path / MANIFEST).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=r"manifest\.json.*; export again") as caught:
        Manifest.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_folder_without_a_manifest(tmp_path: Path) -> None:
    """The error about a folder without a manifest says that it is not an export folder."""
    with pytest.raises(DataError, match=r"has no manifest\.json: it is not an export folder"):
        Manifest.read(tmp_path)


def test_reading_imports_no_converter() -> None:
    """Reading a manifest imports neither TensorFlow, Keras nor onnx."""
    code = (
        "import sys, fmx_export.pipeline.manifest;"
        "print(sorted({'tensorflow', 'onnx', 'keras', 'tf2onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
