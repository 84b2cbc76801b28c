"""Metadata in model files."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import zipfile
from typing import TYPE_CHECKING

import flatbuffers
import onnx
import onnxruntime
import pytest
from tensorflow.lite.python import schema_py_generated as schema

from fmx_export.pipeline.metadata_writer import write_metadata
from fmx_export.tflite.metadata import LABELS_KEY, add_tflite_metadata
from fmx_runtime.classifier import Classifier
from fmx_runtime.errors import ExportError
from fmx_runtime.model_file.metadata import METADATA_KEY, ModelMetadata

if TYPE_CHECKING:
    from pathlib import Path


def empty_tflite() -> bytes:
    """A model with a schema version of 3 and nothing else."""
    builder = flatbuffers.Builder()
    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, 3)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


TFLITE = empty_tflite()
ONNX = b"\x08\x08"  # a ModelProto with ir_version = 8 and nothing else
PINNED = {
    TFLITE: "372248b857783914d6b1abbc40687dc26e732c6d86acb470c33754517b45f6f8",
    ONNX: "ccd9b19994152545e0df8c4380efd328687fab281d6f024d5099f95aab0adbb7",
}


@pytest.fixture(scope="session")
def models(exported: Path) -> dict[str, bytes]:
    """The converters' own models of the exported files, by format."""
    files = {form: exported / f"baseline.int8.{form}" for form in ("tflite", "onnx")}
    with_tflite_metadata = {
        form: path.read_bytes()[: Classifier(path).metadata.model_bytes]
        for form, path in files.items()
    }
    # the second flatbuffer, behind the standard metadata
    start = with_tflite_metadata["tflite"].index(b"TFL3", 8) - 4
    return with_tflite_metadata | {"tflite": with_tflite_metadata["tflite"][start:]}


def with_checksum(model: bytes, metadata: ModelMetadata) -> ModelMetadata:
    """The metadata as it is in the file."""
    content = add_tflite_metadata(model, metadata) if model[4:8] == b"TFL3" else model
    digest = hashlib.sha256(content).hexdigest()
    return dataclasses.replace(metadata, model_bytes=len(content), model_sha256=digest)


@pytest.mark.parametrize("model", [TFLITE, ONNX], ids=["tflite", "onnx"])
def test_bytes_are_pinned(model: bytes, metadata: ModelMetadata) -> None:
    """The bytes of a file do not change from version to version without a change of this test."""
    content = write_metadata(model, metadata)
    assert content == write_metadata(model, metadata)
    assert hashlib.sha256(content).hexdigest() == PINNED[model]


@pytest.mark.parametrize("form", ["tflite", "onnx"])
def test_model_bytes_are_not_changed(
    form: str, models: dict[str, bytes], metadata: ModelMetadata
) -> None:
    """The converter's bytes are unchanged in front of the metadata, and aligned."""
    content = write_metadata(models[form], metadata)
    start = content.index(models[form])
    assert start % 16 == 0
    assert content[: start + len(models[form])] == (
        add_tflite_metadata(models[form], metadata) if form == "tflite" else models[form]
    )


@pytest.mark.parametrize("form", ["tflite", "onnx"])
def test_runtime_reads_the_metadata(
    form: str, models: dict[str, bytes], metadata: ModelMetadata, tmp_path: Path
) -> None:
    """The runtime reads the written metadata, with the size and checksum filled in."""
    labels = ("Größe", "a, b", '"c"', "\\", " ", "靴", "g", "h", "i", "<j>")
    spec = dataclasses.replace(metadata.input, dtype="uint8")
    original = dataclasses.replace(metadata, labels=labels, input=spec, precision="int8")
    path = tmp_path / f"m.{form}"
    path.write_bytes(write_metadata(models[form], original))
    assert Classifier(path).metadata == with_checksum(models[form], original)


def test_tflite_file_is_a_zip_archive(models: dict[str, bytes], metadata: ModelMetadata) -> None:
    """Metadata and labels are uncompressed ZIP entries with a fixed date."""
    with zipfile.ZipFile(io.BytesIO(write_metadata(models["tflite"], metadata))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [METADATA_KEY, LABELS_KEY]
        assert {item.date_time for item in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {item.compress_type for item in archive.infolist()} == {zipfile.ZIP_STORED}
        text = archive.read(METADATA_KEY).decode()
        assert ModelMetadata.from_json(text) == with_checksum(models["tflite"], metadata)
        assert tuple(archive.read(LABELS_KEY).decode().splitlines()) == metadata.labels


def test_flatbuffer_schema_reads_the_tflite_file(
    models: dict[str, bytes], metadata: ModelMetadata
) -> None:
    """TensorFlow's flatbuffer schema reads the whole model."""
    content = write_metadata(models["tflite"], metadata)
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    assert model.version == 3
    assert len(model.subgraphs[0].operators) > 5
    assert model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]].shape.tolist() == [1, 28, 28, 1]


def test_onnx_reads_the_onnx_file(models: dict[str, bytes], metadata: ModelMetadata) -> None:
    """The onnx library reads one valid model, with the metadata as its only property."""
    model = onnx.load_from_string(write_metadata(models["onnx"], metadata))
    onnx.checker.check_model(model, full_check=True)
    assert [item.key for item in model.metadata_props] == [METADATA_KEY]
    text = model.metadata_props[0].value
    assert ModelMetadata.from_json(text) == with_checksum(models["onnx"], metadata)
    assert model.graph == onnx.load_from_string(models["onnx"]).graph
    session = onnxruntime.InferenceSession(write_metadata(models["onnx"], metadata))
    assert session.get_modelmeta().custom_metadata_map == {METADATA_KEY: text}


@pytest.mark.parametrize("model", [b"", b"PK\x03\x04", b"<html>", TFLITE[4:]])
def test_other_files_are_refused(model: bytes, metadata: ModelMetadata) -> None:
    """Only TFLite and ONNX models can hold metadata."""
    with pytest.raises(ExportError, match="only TFLite and ONNX"):
        write_metadata(model, metadata)
