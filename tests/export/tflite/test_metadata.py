"""The standard TFLite metadata; tests/packaging shows that other tools read it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from fmx_export.tflite.metadata import add_tflite_metadata
from fmx_runtime.classifier import Classifier
from fmx_runtime.images.preprocess import to_tensor

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fmx_runtime.model_file.metadata import ModelMetadata
    from fmx_training.data.dataset import Splits

NAME = b"TFLITE_METADATA"


@dataclasses.dataclass(frozen=True)
class Model:
    """A real exported model."""

    metadata: ModelMetadata
    described: bytes
    """The model with the metadata, as it is in the file."""
    plain: bytes
    """The converter's model."""


@pytest.fixture(scope="module", params=["int8", "float32"])
def model(request: pytest.FixtureRequest, exported: Path) -> Model:
    """The trained model in each precision."""
    path = exported / f"baseline.{request.param}.tflite"
    metadata = Classifier(path).metadata
    described = path.read_bytes()[: metadata.model_bytes]
    # the converter's model: a vector of bytes that starts like a model, with its length in front
    start = described.index(b"TFL3", 8) - 4
    size = int.from_bytes(described[start - 4 : start], "little")
    return Model(metadata, described, plain=described[start : start + size])


def buffers(content: bytes) -> list[NDArray[np.uint8]]:
    """Return the data of all buffers of a model, including empty ones."""
    root = schema.Model.GetRootAs(content, 0)
    found = [root.Buffers(index).DataAsNumpy() for index in range(root.BuffersLength())]
    return [np.asarray(data if isinstance(data, np.ndarray) else [], np.uint8) for data in found]


def metadata(content: bytes) -> dict[bytes, int]:
    """Return the buffer index of each entry of a model's metadata."""
    root = schema.Model.GetRootAs(content, 0)
    entries = [root.Metadata(index) for index in range(root.MetadataLength())]
    assert len({entry.Name() for entry in entries}) == len(entries)
    return {entry.Name(): entry.Buffer() for entry in entries}


def comparable(value: Any) -> Any:
    """Convert an unpacked table and the tables in it to plain values."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list):
        return [comparable(item) for item in value]
    return (
        {name: comparable(item) for name, item in vars(value).items()}
        if hasattr(value, "__dict__")
        else value
    )


def test_one_buffer_is_added(model: Model) -> None:
    """Graph, quantization, signatures and weights stay the converter's; one buffer is added."""
    before = schema.ModelT.InitFromPackedBuf(model.plain, 0)
    after = schema.ModelT.InitFromPackedBuf(model.described, 0)
    added = after.buffers.pop()
    entry = after.metadata.pop()
    assert (entry.name, entry.buffer) == (NAME, len(after.buffers))
    assert added.data[4:8].tobytes() == b"M001"
    assert comparable(after) == comparable(before)
    assert after.signatureDefs
    assert any(
        tensor.quantization.scale is not None and len(tensor.quantization.scale) > 1
        for tensor in after.subgraphs[0].tensors
    ) == (model.metadata.precision == "int8")


def test_the_converters_bytes_stay(model: Model) -> None:
    """The model ends with the converter's bytes and padding; equal arguments give equal bytes."""
    content = add_tflite_metadata(model.plain, model.metadata)
    assert content == add_tflite_metadata(model.plain, model.metadata) == model.described
    start = content.index(model.plain)
    assert len(content) % 16 == start % 16 == 0
    assert content[start + len(model.plain) :] in {bytes(size) for size in range(16)}
    assert content != add_tflite_metadata(
        model.plain, dataclasses.replace(model.metadata, name="other")
    )


@pytest.mark.parametrize("more", [1, 7, 15])
def test_odd_lengths(more: int, model: Model) -> None:
    """Weights keep their alignment, and metadata is aligned to 16 bytes, for any length."""
    content = add_tflite_metadata(model.plain + bytes(more), model.metadata)
    assert content.index(model.plain) % 16 == 0
    for before, after in zip(buffers(model.plain), buffers(content), strict=False):
        np.testing.assert_array_equal(before, after)
    added = buffers(content)[metadata(content)[NAME]].tobytes()
    assert content.index(added) % 16 == 0


def test_outputs_stay(model: Model, few: Splits) -> None:
    """The interpreter returns the same outputs as for the converter's bytes."""
    tensors = to_tensor(few.test.images[:100], model.metadata.input)
    outputs = []
    for content in (model.plain, model.described):
        interpreter = Interpreter(model_content=content)
        runner = interpreter.get_signature_runner()
        (name,) = runner.get_input_details()
        outputs.append([runner(**{name: row[np.newaxis]})["output_0"] for row in tensors])
    np.testing.assert_array_equal(*outputs)
    assert np.std(outputs[0]) > 0


def test_models_without_metadata(model: Model) -> None:
    """A model without any metadata from the converter gets it, too."""
    bare = schema.ModelT.InitFromPackedBuf(model.plain, 0)
    bare.metadata = bare.description = bare.signatureDefs = None
    builder = flatbuffers.Builder()
    builder.Finish(bare.Pack(builder), b"TFL3")
    content = add_tflite_metadata(bytes(builder.Output()), model.metadata)
    assert list(metadata(content)) == [NAME]
    Interpreter(model_content=content).allocate_tensors()
