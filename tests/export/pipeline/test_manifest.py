"""Manifests are read back as they were written, without the converters' libraries."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fmx_export.pipeline.manifest import MANIFEST, Attempt, Manifest, Refused
from fmx_runtime.errors import DataError
from fmx_runtime.model_file.metadata import Accuracy

if TYPE_CHECKING:
    from pathlib import Path


def test_what_was_written_is_read(exported: Path) -> None:
    """A real export's manifest survives being read and written, to the byte."""
    manifest = Manifest.read(exported)
    assert manifest.to_json() == (exported / MANIFEST).read_text("utf-8")
    assert [file.file for file in manifest.files] == [
        "baseline.float32.tflite",
        "baseline.float32.onnx",
        "baseline.int8.tflite",
        "baseline.int8.onnx",
    ]


def test_all_that_can_be_told(exported: Path, tmp_path: Path) -> None:
    """Attempts, files left out and reports are read as they were written, labels or not."""
    unknown = Accuracy(keras=None, file=None, agreement=0.5, data="my images", size=4)
    attempts = (
        Attempt(calibration="min-max", excluded_layers=(), accuracy=unknown, passed=False),
        Attempt(
            calibration="entropy", excluded_layers=("a/b;c", "d"), accuracy=unknown, passed=True
        ),
    )
    whole = Manifest.read(exported)
    first, *others = whole.files
    told = dataclasses.replace(
        whole,
        files=(
            dataclasses.replace(first, attempts=attempts, float_operators=("CONV_2D",)),
            *others,
        ),
        refused=(Refused("x.int8.onnx", "loses 12 points", attempts[:1]),),
        reports=("x.layers.md", "x.layers.png"),
    )
    (tmp_path / MANIFEST).write_text(told.to_json(), "utf-8")
    assert Manifest.read(tmp_path) == told
    assert told.names == (*whole.names, "x.layers.md", "x.layers.png")


def test_a_manifest_of_an_earlier_version(exported: Path, tmp_path: Path) -> None:
    """One that was written before there were attempts, refusals and reports is still read."""
    data = json.loads((exported / MANIFEST).read_text("utf-8"))
    for key in ("refused", "reports"):
        del data[key]
    for file in data["files"]:
        del file["attempts"], file["float_operators"]
    (tmp_path / MANIFEST).write_text(json.dumps(data), "utf-8")
    manifest = Manifest.read(tmp_path)
    assert manifest.names == Manifest.read(exported).names
    assert (manifest.refused, manifest.reports) == ((), ())


@pytest.mark.parametrize("text", ["", "[]", '{"name": 3}', '{"name": "x"}', "\udcff"])
def test_a_damaged_manifest_is_named(text: str, tmp_path: Path) -> None:
    """A manifest that says something else is one line with its path and the remedy."""
    (tmp_path / MANIFEST).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=r"manifest\.json.*; export again") as caught:
        Manifest.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_without_one(tmp_path: Path) -> None:
    """A folder that is no export folder is said to be none."""
    with pytest.raises(DataError, match=r"has no manifest\.json: it is no export folder"):
        Manifest.read(tmp_path)


def test_reading_needs_no_converter() -> None:
    """Neither TensorFlow nor onnx is imported to read a manifest."""
    code = (
        "import sys, fmx_export.pipeline.manifest;"
        "print(sorted({'tensorflow', 'onnx', 'keras', 'tf2onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
