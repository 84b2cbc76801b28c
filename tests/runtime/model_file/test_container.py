from __future__ import annotations

import hashlib
import io
import os
import time
import tracemalloc
import zipfile
from pathlib import Path

import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmx_runtime.errors import ModelFileError
from fmx_runtime.model_file.container import find_metadata, read_metadata, read_model
from fmx_runtime.model_file.metadata import METADATA_KEY, ModelMetadata

NAMES = ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"]
STEP = 1 if "FMX_TEST_SEEDS" in os.environ else 5  # make test-all tries every byte


@pytest.mark.parametrize("name", NAMES)
def test_exported_files_have_metadata(name: str, exported: Path) -> None:
    """Each exported file has metadata with the checksum of the model's bytes."""
    content = (exported / f"baseline.{name}").read_bytes()
    metadata = ModelMetadata.from_json(read_metadata(content))
    assert metadata.precision == name.partition(".")[0]
    assert hashlib.sha256(content[: metadata.model_bytes]).hexdigest() == metadata.model_sha256
    assert metadata.model_bytes > 0.9 * len(content)


@pytest.mark.parametrize("name", NAMES[:2])
def test_zip_tools_read_the_same_metadata(name: str, exported: Path) -> None:
    """The metadata of a TFLite file are what any ZIP tool reads."""
    path = exported / f"baseline.{name}"
    with zipfile.ZipFile(path) as archive:
        assert archive.read(METADATA_KEY).decode() == read_metadata(path.read_bytes())


@pytest.mark.parametrize("name", NAMES[2:])
def test_onnx_tools_read_the_same_metadata(name: str, exported: Path) -> None:
    """The metadata of an ONNX file are what onnx and onnxruntime read."""
    path = exported / f"baseline.{name}"
    expected = read_metadata(path.read_bytes())
    assert [(x.key, x.value) for x in onnx.load(path).metadata_props] == [(METADATA_KEY, expected)]
    metadata = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    assert metadata == {METADATA_KEY: expected}


def test_other_properties_are_ignored(exported: Path) -> None:
    """The metadata are found among other properties, where another program wrote the file."""
    content = (exported / "baseline.int8.onnx").read_bytes()
    proto = onnx.load_from_string(content)
    for key, value in (("author", "somebody"), ("empty", ""), ("long", "x" * 100_000)):
        proto.metadata_props.add(key=key, value=value)
    proto.metadata_props.insert(0, proto.metadata_props.pop(1))
    assert read_metadata(proto.SerializeToString()) == read_metadata(content)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_without_metadata(name: str, exported: Path) -> None:
    """The message for a model without metadata says what to do."""
    content = (exported / f"baseline.{name}").read_bytes()
    model = content[: ModelMetadata.from_json(read_metadata(content)).model_bytes]
    with pytest.raises(ModelFileError, match=r"has no model metadata.*export again.*--labels FILE"):
        read_metadata(model)
    assert find_metadata(model) is None


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_of_another_name(name: str, exported: Path) -> None:
    """An entry or property of another name is not taken for metadata."""
    content = (exported / f"baseline.{name}").read_bytes()
    with pytest.raises(ModelFileError, match="has no model metadata"):
        read_metadata(content.replace(METADATA_KEY.encode(), b"xxx.json"))


@pytest.mark.parametrize("name", ["int8.tflite", "int8.onnx"])
def test_flipped_bits_of_the_metadata(name: str, exported: Path) -> None:
    """With one bit behind the model changed, the file is refused or has equal metadata.

    A bit of every fifth byte; ``make test-all`` changes one of every byte.
    """
    content = (exported / f"baseline.{name}").read_bytes()
    metadata = ModelMetadata.from_json(read_metadata(content))
    trailer = bytearray(content[metadata.model_bytes :])
    head = content[: metadata.model_bytes] if name.endswith("onnx") else b"\x00\x00\x00\x00TFL3"
    assert ModelMetadata.from_json(read_metadata(head + bytes(trailer))) == metadata
    refused = 0
    places = range(0, len(trailer), STEP)
    for place in places:
        bit = 1 << place % 8
        trailer[place] ^= bit
        try:
            assert ModelMetadata.from_json(read_metadata(head + bytes(trailer))) == metadata
        except ModelFileError:
            refused += 1
        trailer[place] ^= bit
    assert refused > 0.8 * len(places)


@pytest.mark.parametrize("name", ["int8.tflite", "int8.onnx"])
def test_cut_off_metadata(name: str, exported: Path) -> None:
    """Cut off behind the model, the file is refused."""
    content = (exported / f"baseline.{name}").read_bytes()
    metadata = ModelMetadata.from_json(read_metadata(content))
    for end in range(metadata.model_bytes, len(content), STEP):
        with pytest.raises(ModelFileError):
            ModelMetadata.from_json(read_metadata(content[:end]))


def test_compressed_metadata_are_refused(exported: Path) -> None:
    """Compressed metadata, which could fill the memory, are not unpacked."""
    content = (exported / "baseline.int8.tflite").read_bytes()
    buffer = io.BytesIO(content[: ModelMetadata.from_json(read_metadata(content)).model_bytes])
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(METADATA_KEY, b" " * (32 << 20))
    bomb = buffer.getvalue()
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match="is damaged: its model metadata cannot be read"):
            read_metadata(bomb)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "tail",
    [b"\x80" * 4_000_000, b"\x08\x01" * 4_000_000, b"\x72\x80\x89\x7a" + b"\x08\x01" * 1_000_000],
)
def test_endless_fields(tail: bytes) -> None:
    """A number of millions of bytes, and millions of fields, are given up soon."""
    start = time.process_time()  # whatever else the machine does
    with pytest.raises(ModelFileError, match="is damaged: its model metadata cannot be read"):
        read_metadata(b"\x08\x08" + tail)
    assert time.process_time() - start < 3


@pytest.mark.parametrize("name", NAMES)
def test_read_model(name: str, exported: Path, tmp_path: Path) -> None:
    """All bytes of a file are read, also through a link."""
    link = tmp_path / "link"
    link.symlink_to(exported / f"baseline.{name}")
    assert read_model(link) == link.read_bytes()


def test_files_that_are_refused(tmp_path: Path, exported: Path) -> None:
    """Devices, pipes, other files and those that are too large are refused without reading."""
    fifo, image, huge = tmp_path / "fifo", tmp_path / "x.tflite", tmp_path / "huge.onnx"
    os.mkfifo(fifo)
    image.write_bytes(b"\x89PNG" + bytes(100))
    huge.write_bytes((exported / "baseline.int8.onnx").read_bytes())
    os.truncate(huge, 1 << 40)
    for path, message in (
        (fifo, "is not a regular file, but a device or a pipe"),
        (Path("/dev/zero"), "is not a regular file, but a device or a pipe"),
        (tmp_path, "cannot be read: Is a directory"),
        (tmp_path / "gone", "does not exist"),
        (image, "neither a TFLite nor an ONNX model"),
        (huge, "has 1099511627776 bytes, at most 1073741824 are read"),
    ):
        with pytest.raises(ModelFileError, match=message) as caught:
            read_model(path)
        assert f"'{path}'" in str(caught.value)


@given(st.sampled_from([b"\x1c\x00\x00\x00TFL3", b"\x08", b"\x12", b"\x1a", b""]), st.binary())
def test_arbitrary_bytes(start: bytes, rest: bytes) -> None:
    """Arbitrary bytes that begin as a model does are a ModelFileError of one line."""
    with pytest.raises(ModelFileError) as caught:
        read_metadata(start + rest)
    assert "\n" not in str(caught.value)
