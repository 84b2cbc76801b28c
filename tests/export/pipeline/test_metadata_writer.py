"""The metadata inside the file."""

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

from fmx_export.pipeline.metadata_writer import embed
from fmx_export.tflite.metadata import LABELS_KEY, add_tflite_metadata
from fmx_runtime.classifier import Classifier
from fmx_runtime.errors import ExportError
from fmx_runtime.model_file.metadata import METADATA_KEY, ModelMetadata

if TYPE_CHECKING:
    from pathlib import Path


def empty_tflite() -> bytes:
    """A model that says nothing but that its schema has version 3."""
    builder = flatbuffers.Builder()
    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, 3)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


TFLITE = empty_tflite()
ONNX = b"\x08\x08"  # a ModelProto that says nothing but ir_version = 8
PINNED = {
    TFLITE: "d405dd761fb18e66bd8d3f0db2485cdf4ba8e093765bfcc7ecc0b3af21261d4a",
    ONNX: "928f3e147354030c23cd49172f6f7ae1499932084678dd7553229f9f7c8a258f",
}


@pytest.fixture(scope="session")
def plain(exported: Path) -> dict[str, bytes]:
    """The converters' own bytes of the real files, by format."""
    files = {form: exported / f"baseline.int8.{form}" for form in ("tflite", "onnx")}
    models = {
        form: path.read_bytes()[: Classifier(path).metadata.model_bytes]
        for form, path in files.items()
    }
    # the second flatbuffer, behind the standard metadata
    start = models["tflite"].index(b"TFL3", 8) - 4
    return models | {"tflite": models["tflite"][start:]}


def sealed(model: bytes, metadata: ModelMetadata) -> ModelMetadata:
    """The metadata as it stands in the file."""
    whole = add_tflite_metadata(model, metadata) if model[4:8] == b"TFL3" else model
    digest = hashlib.sha256(whole).hexdigest()
    return dataclasses.replace(metadata, model_bytes=len(whole), model_sha256=digest)


@pytest.mark.parametrize("model", [TFLITE, ONNX], ids=["tflite", "onnx"])
def test_the_bytes_are_pinned(model: bytes, metadata: ModelMetadata) -> None:
    """The format of the containers does not change unnoticed, from version to version."""
    content = embed(model, metadata)
    assert content == embed(model, metadata)
    assert hashlib.sha256(content).hexdigest() == PINNED[model]


@pytest.mark.parametrize("form", ["tflite", "onnx"])
def test_the_model_stays_as_it_was(
    form: str, plain: dict[str, bytes], metadata: ModelMetadata
) -> None:
    """What the converter made stands unchanged in front of the metadata, aligned as it was."""
    content = embed(plain[form], metadata)
    start = content.index(plain[form])
    assert start % 16 == 0
    assert content[: start + len(plain[form])] == (
        add_tflite_metadata(plain[form], metadata) if form == "tflite" else plain[form]
    )


@pytest.mark.parametrize("form", ["tflite", "onnx"])
def test_the_runtime_reads_the_metadata_back(
    form: str, plain: dict[str, bytes], metadata: ModelMetadata, tmp_path: Path
) -> None:
    """The metadata that the runtime finds is the one embedded, with size and checksum filled in."""
    labels = ("Größe", "a, b", '"c"', "\\", " ", "靴", "g", "h", "i", "<j>")
    spec = dataclasses.replace(metadata.input, dtype="uint8")
    whole = dataclasses.replace(metadata, labels=labels, input=spec, precision="int8")
    path = tmp_path / f"m.{form}"
    path.write_bytes(embed(plain[form], whole))
    assert Classifier(path).metadata == sealed(plain[form], whole)


def test_a_tflite_file_is_a_zip_archive(plain: dict[str, bytes], metadata: ModelMetadata) -> None:
    """Python finds the metadata and the labels, uncompressed, at the same date always."""
    with zipfile.ZipFile(io.BytesIO(embed(plain["tflite"], metadata))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [METADATA_KEY, LABELS_KEY]
        assert {item.date_time for item in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {item.compress_type for item in archive.infolist()} == {zipfile.ZIP_STORED}
        text = archive.read(METADATA_KEY).decode()
        assert ModelMetadata.from_json(text) == sealed(plain["tflite"], metadata)
        assert tuple(archive.read(LABELS_KEY).decode().splitlines()) == metadata.labels


def test_other_tools_read_the_tflite_file(plain: dict[str, bytes], metadata: ModelMetadata) -> None:
    """Through the flatbuffer schema that viewers use, the whole model is found."""
    content = embed(plain["tflite"], metadata)
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    assert model.version == 3
    assert len(model.subgraphs[0].operators) > 5
    assert model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]].shape.tolist() == [1, 28, 28, 1]


def test_other_tools_read_the_onnx_file(plain: dict[str, bytes], metadata: ModelMetadata) -> None:
    """ONNX' own library parses and checks it as one model, whose only metadata is the metadata."""
    model = onnx.load_from_string(embed(plain["onnx"], metadata))
    onnx.checker.check_model(model, full_check=True)
    assert [item.key for item in model.metadata_props] == [METADATA_KEY]
    text = model.metadata_props[0].value
    assert ModelMetadata.from_json(text) == sealed(plain["onnx"], metadata)
    assert model.graph == onnx.load_from_string(plain["onnx"]).graph
    session = onnxruntime.InferenceSession(embed(plain["onnx"], metadata))
    assert session.get_modelmeta().custom_metadata_map == {METADATA_KEY: text}


@pytest.mark.parametrize("model", [b"", b"PK\x03\x04", b"<html>", TFLITE[4:]])
def test_what_is_no_model_is_refused(model: bytes, metadata: ModelMetadata) -> None:
    """Only TFLite and ONNX bytes take metadata."""
    with pytest.raises(ExportError, match="only TFLite and ONNX"):
        embed(model, metadata)
