"""Inspection of model files, intact and damaged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import onnx
import pytest

from fmx_export.pipeline.inspect import Inspection, inspect_file
from fmx_export.pipeline.metadata_writer import write_metadata
from fmx_runtime.classifier import Classifier
from fmx_runtime.errors import ModelFileError
from fmx_runtime.model_file.container import read_metadata
from fmx_runtime.model_file.metadata import SCHEMA, ModelMetadata
from fmx_runtime.support import json_codec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FORMATS = ("tflite", "onnx")
FILES = [f"baseline.{precision}.{form}" for precision in ("float32", "int8") for form in FORMATS]


@pytest.fixture(params=FORMATS)
def file(request: pytest.FixtureRequest, exported: Path, tmp_path: Path) -> Path:
    """A copy of an int8 file that tests may damage."""
    path = tmp_path / f"mine.{request.param}"
    path.write_bytes((exported / f"baseline.int8.{request.param}").read_bytes())
    return path


def _metadata(path: Path) -> ModelMetadata:
    return ModelMetadata.from_json(read_metadata(path.read_bytes()))


@pytest.mark.parametrize("name", FILES)
def test_intact_files(name: str, exported: Path) -> None:
    """An exported file is intact, and its metadata is that which the runtime reads."""
    path = exported / name
    inspection = inspect_file(path)
    assert (inspection.status, inspection.problem) == ("intact", None)
    assert inspection.metadata == Classifier(path).metadata
    assert inspection.file == name
    assert inspection.size_bytes == path.stat().st_size
    assert (
        json_codec.decode(Inspection, json_codec.parse(json_codec.encode(inspection))) == inspection
    )


def test_file_without_metadata(file: Path) -> None:
    """A converter's own file is not damaged: it has a graph, and no metadata."""
    original = inspect_file(file)
    file.write_bytes(file.read_bytes()[: _metadata(file).model_bytes])
    inspection = inspect_file(file)
    assert (inspection.status, inspection.problem, inspection.metadata) == (
        "no metadata",
        None,
        None,
    )
    assert [item.type for item in inspection.graph.operators] == [
        item.type for item in original.graph.operators
    ]


def test_changed_weight(file: Path) -> None:
    """A file with one changed weight is damaged; its metadata and graph are still read."""
    original = inspect_file(file)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1  # weights take more than half of the file
    file.write_bytes(content)
    inspection = inspect_file(file)
    assert inspection.status == "damaged"
    assert inspection.problem == (
        "was changed after it was exported (checksum differs); export again"
    )
    assert (inspection.metadata, inspection.graph) == (original.metadata, original.graph)
    with pytest.raises(ModelFileError, match="checksum differs"):
        Classifier(file)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def _change_text(path: Path) -> None:
    content = path.read_bytes()
    at = content.rindex(b"light-on-dark")
    path.write_bytes(content[:at] + b"night" + content[at + 5 :])


@pytest.mark.parametrize("damage", [_cut, _change_text])
def test_damaged_tflite_metadata(
    damage: Callable[[Path], None], exported: Path, tmp_path: Path
) -> None:
    """A file whose metadata was cut off or changed is damaged; its graph is still read."""
    path = tmp_path / "mine.tflite"
    path.write_bytes((exported / "baseline.int8.tflite").read_bytes())
    damage(path)
    inspection = inspect_file(path)
    assert inspection.status == "damaged"
    assert inspection.metadata is None
    assert inspection.problem
    assert inspection.graph.totals.operators == 10


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"schema": SCHEMA + 1}, "upgrade it with"),
        ({"name": "other"}, "was changed after it was exported"),
    ],
)
def test_unreadable_metadata(
    change: dict[str, Any], problem: str, file: Path, metadata: ModelMetadata
) -> None:
    """Metadata of a newer fmx and edited metadata are reported with the cause."""
    content = file.read_bytes()[: _metadata(file).model_bytes]
    text = json.dumps({**json.loads(metadata.to_json()), **change})

    class Edited(ModelMetadata):
        def to_json(self) -> str:
            return text

    file.write_bytes(write_metadata(content, Edited(**vars(metadata))))
    inspection = inspect_file(file)
    assert (inspection.status, inspection.metadata) == ("unreadable metadata", None)
    assert inspection.problem
    assert problem in inspection.problem


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, r"model '.*it' does not exist"),
        (lambda path: path.mkdir(), r"'.*it' is a folder; give a \.tflite or \.onnx file"),
        (lambda path: path.write_bytes(b""), "'.*it': neither a TFLite nor an ONNX model"),
        (lambda path: path.write_text("hello", "utf-8"), "'.*it': neither a TFLite nor an ONNX"),
    ],
    ids=["missing", "folder", "empty", "text"],
)
def test_files_that_are_not_models(
    make: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    """A missing file, a folder, an empty file and a text file are errors of one line."""
    make(tmp_path / "it")
    with pytest.raises(ModelFileError, match=message):
        inspect_file(tmp_path / "it")


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_truncated_file(kept: float, file: Path) -> None:
    """The error about a truncated file tells what to do."""
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ModelFileError, match=r"is damaged, its graph .*; copy the file again, or"):
        inspect_file(file)


def test_file_of_another_tool(tmp_path: Path) -> None:
    """An ONNX file that another tool wrote is read."""
    text = (
        '<ir_version: 8, opset_import: ["" : 17]> it (float[N] x) => (float[N] y) { y = Relu (x) }'
    )
    path = tmp_path / "other.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    inspection = inspect_file(path)
    assert inspection.status == "no metadata"
    assert [item.type for item in inspection.graph.operators] == ["Relu"]
