from __future__ import annotations

import dataclasses
import hashlib
import struct
from typing import TYPE_CHECKING

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as tflite
from hypothesis import given
from hypothesis import strategies as st

from fmx_export.pipeline import metadata_writer
from fmx_export.source import input_range
from fmx_runtime.classifier import Classifier
from fmx_runtime.errors import BackendError, ModelFileError
from fmx_runtime.images.preprocess import to_tensor
from fmx_runtime.model_file import external_model
from fmx_runtime.model_file.container import read_metadata
from fmx_runtime.model_file.external_model import describe
from fmx_runtime.model_file.metadata import InputSpec, ModelMetadata

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fmx_training.data.dataset import Splits

NAMES = ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"]
LABELS = tuple("abcdefghij")


def bare(path: Path) -> bytes:
    """A file without its metadata, as the converter and other tools make files."""
    content = path.read_bytes()
    return content[: ModelMetadata.from_json(read_metadata(content)).model_bytes]


def edited(content: bytes, change: Callable[[tflite.ModelT], None]) -> bytes:
    """A TFLite model with some of its tables changed."""
    model = tflite.ModelT.InitFromPackedBuf(content, 0)
    change(model)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def without_metadata(content: bytes) -> bytes:
    """A TFLite model as the converter makes it."""

    def change(model: tflite.ModelT) -> None:
        model.metadata = []

    return edited(content, change)


def metadata(means: list[float], deviations: list[float], *, units: int = 1) -> bytes:
    """Standard metadata of a model whose input is normalized, by the last of its process units."""
    builder = flatbuffers.Builder(1024)

    def table(**fields: int) -> int:
        builder.StartObject(9)
        for name, value in fields.items():
            slot = int(name.removeprefix("at"))
            if slot == 0 and value == 1:  # the kind of options, a byte
                builder.PrependUint8Slot(slot, value, 0)
            else:
                builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        return builder.EndObject()

    def tables(*offsets: int) -> int:
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()

    mean = builder.CreateNumpyVector(np.array(means, np.float32))
    deviation = builder.CreateNumpyVector(np.array(deviations, np.float32))
    options = table(at0=mean, at1=deviation)
    others = [table() for _ in range(units - 1)]
    unit = table(at0=1, at1=options)
    image = table(at4=tables(*others, unit))
    subgraph = table(at2=tables(image))
    builder.Finish(table(at3=tables(subgraph)), b"M001")
    return bytes(builder.Output())


def with_metadata(content: bytes, data: bytes) -> bytes:
    """A TFLite model with other metadata."""

    def change(model: tflite.ModelT) -> None:
        buffer, entry, other = tflite.BufferT(), tflite.MetadataT(), tflite.MetadataT()
        buffer.data = np.frombuffer(data, np.uint8)
        model.buffers.append(buffer)
        other.name, other.buffer = "min_runtime_version", 0
        entry.name, entry.buffer = "TFLITE_METADATA", len(model.buffers) - 1
        model.metadata = [other, entry]

    return edited(content, change)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_without_its_metadata(
    name: str, exported: Path, splits: Splits, tmp_path: Path
) -> None:
    """With labels and the range of its pixels, such a file answers as the one with the metadata."""
    original = exported / f"baseline.{name}"
    content = bare(original)
    metadata = describe(content, labels=splits.train.class_names, pixels="0..1")
    assert metadata.model_sha256 == hashlib.sha256(content).hexdigest()
    assert metadata.precision == name.partition(".")[0]
    path = tmp_path / name
    path.write_bytes(metadata_writer.embed(content, metadata))
    images = splits.test.images[:20]
    described, whole = Classifier(path), Classifier(original)
    assert described.metadata.labels == whole.metadata.labels
    assert np.array_equal(described.predict(images), whole.predict(images))


def test_images_are_stretched_and_never_inverted(exported: Path) -> None:
    """Nothing says that an external network knows light things only, or borders."""
    metadata = describe(bare(exported / "baseline.int8.tflite"), labels=LABELS)
    assert (metadata.input.resize, metadata.input.polarity, metadata.input.subject) == (
        "stretch",
        "any",
        "whole",
    )
    assert (metadata.accuracy, metadata.test_vectors, metadata.quantization) == (None, None, None)


@pytest.mark.parametrize(
    ("pixels", "ends"), [("0..1", (0, 1)), ("-1..1", (-1, 1)), ("0..255", (0, 255))]
)
def test_the_range_of_pixels(
    pixels: external_model.InputRange, ends: tuple[float, float], exported: Path
) -> None:
    """A range is what a pixel's 0 and 255 become, whatever the file's metadata says."""
    metadata = describe(bare(exported / "baseline.float32.tflite"), labels=LABELS, pixels=pixels)
    assert tuple(to_tensor(np.array([0, 255], np.uint8), metadata.input)) == pytest.approx(ends)


def test_ranges_are_those_of_the_exporter() -> None:
    """One word means one thing on the device and where models are exported."""
    assert external_model.INPUT_RANGES == input_range.INPUT_RANGES


def test_bytes_are_taken_as_they_are(exported: Path) -> None:
    """A uint8 input needs no range, in either format."""
    for name in ("int8.tflite", "int8.onnx"):
        spec = describe(bare(exported / f"baseline.{name}"), labels=LABELS).input
        assert (spec.dtype, spec.scale, spec.offset) == ("uint8", 1.0, 0.0)


def test_floating_point_needs_a_range(exported: Path) -> None:
    """Where no metadata says what the network takes, the user has to, and is told how."""
    for content in (
        bare(exported / "baseline.float32.onnx"),
        without_metadata(bare(exported / "baseline.float32.tflite")),
    ):
        with pytest.raises(
            ModelFileError,
            match=r"--input-range=0\.\.1, --input-range=-1\.\.1 or --input-range=0\.\.255",
        ):
            describe(content, labels=LABELS)


@pytest.mark.parametrize(("scale", "offset"), [(1 / 255, 0.0), (1 / 127.5, -1.0), (1.0, 0.0)])
def test_metadata_that_fmx_writes(scale: float, offset: float, exported: Path) -> None:
    """What the exporter writes of each range is what is read again."""
    path = exported / "baseline.float32.tflite"
    whole = ModelMetadata.from_json(read_metadata(path.read_bytes()))
    stated = dataclasses.replace(whole.input, scale=scale, offset=offset)
    model = without_metadata(bare(path))
    content = metadata_writer.embed(model, dataclasses.replace(whole, input=stated))
    size = ModelMetadata.from_json(read_metadata(content)).model_bytes
    found = describe(content[:size], labels=LABELS).input
    assert (found.scale, found.offset) == pytest.approx((scale, offset))


def test_metadata_of_other_tools(exported: Path) -> None:
    """Several entries and process units are gone through; equal values of three colours are one."""
    model = bare(exported / "baseline.float32.tflite")
    content = with_metadata(model, metadata([127.5] * 3, [127.5] * 3, units=3))
    found = describe(content, labels=LABELS).input
    assert (found.scale, found.offset) == pytest.approx((1 / 127.5, -1))


@pytest.mark.parametrize(
    ("means", "deviations"),
    [([1.0, 2.0, 3.0], [1.0]), ([0.0], [1.0, 2.0]), ([0.0], [0.0]), ([0.0], [-1.0])],
)
def test_metadata_that_no_metadata_can_state(
    means: list[float], deviations: list[float], exported: Path
) -> None:
    """Colours that are normalized apart are refused with their values, and not averaged."""
    model = bare(exported / "baseline.float32.tflite")
    content = with_metadata(model, metadata(means, deviations))
    with pytest.raises(ModelFileError, match=r"normalizes colours by means \(.*\) and deviations"):
        describe(content, labels=LABELS)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_metadata_that_is_no_number(value: float, exported: Path) -> None:
    """A mean that is no number is refused."""
    model = bare(exported / "baseline.float32.tflite")
    with pytest.raises(ModelFileError, match="no number"):
        describe(with_metadata(model, metadata([value], [1.0])), labels=LABELS)


@given(st.binary(max_size=400))
def test_any_bytes_for_metadata(rest: bytes) -> None:
    """Arbitrary bytes behind TFLite's first ones say nothing of a normalization, and do no harm."""
    means, deviations = external_model._normalization(b"\x08\x00\x00\x00TFL3" + rest)
    assert len(means) <= 4
    assert len(deviations) <= 4


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_changed_bytes_of_metadata(place: int, value: int) -> None:
    """With any byte of metadata changed, numbers are read or nothing."""
    data = bytearray(metadata([127.5], [127.5]))
    data[place % len(data)] = value
    model = tflite.ModelT()
    model.version, model.buffers, model.subgraphs = 3, [tflite.BufferT()], []
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    content = with_metadata(bytes(builder.Output()), bytes(data))
    for numbers in external_model._normalization(content):
        assert all(isinstance(number, float) for number in numbers)


def test_a_vector_without_an_end() -> None:
    """A vector that says that it has four thousand million tables is not gone through."""
    # the root table at 12 has its vtable at 20, whose field 6 (metadata) leads from 16 to 38
    content = struct.pack("<I4siii", 12, b"TFL3", 0, -8, 22)
    content += struct.pack("<9H", 18, 8, 0, 0, 0, 0, 0, 0, 4)
    content += struct.pack("<I", 0xFFFFFFFF) + bytes(64)
    assert len(list(external_model._Table.root(content).tables(external_model._METADATA))) == 16
    assert external_model._normalization(content) == ((), ())


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[:9], "has 10 classes, and 9 labels are given: .*put a line 'background' in front"),
        ((*LABELS, "k"), "has 10 classes, and 11 labels are given: .*background, take it out"),
        (LABELS[:3], "has 10 classes, and 3 labels are given: give one label for each class"),
        ((), "has 10 classes, and 0 labels"),
        ((*LABELS[:9], " "), "label 10 is ' ': empty"),
        ((*LABELS[:9], "a\x1b[2J"), r"label 10 is 'a\\x1b\[2J': empty, or with characters that"),
        (("a\nb", *LABELS[1:]), r"label 1 is 'a\\nb'"),
    ],
)
def test_labels_that_do_not_fit(labels: tuple[str, ...], message: str, exported: Path) -> None:
    """Another number of labels is refused with both numbers, and a label that cannot be shown."""
    with pytest.raises(ModelFileError, match=message) as caught:
        describe(bare(exported / "baseline.int8.tflite"), labels=labels)
    assert "\n" not in str(caught.value)


def test_labels_may_repeat(exported: Path) -> None:
    """Lists in use have two classes of one name, such as the crane and the crane of ImageNet."""
    labels = ("crane",) * 10
    assert describe(bare(exported / "baseline.int8.tflite"), labels=labels).labels == labels


def test_logits(exported: Path, splits: Splits, tmp_path: Path) -> None:
    """A network without its softmax is found to give logits, and answers as the whole one does."""

    def cut(model: tflite.ModelT) -> None:
        graph = model.subgraphs[0]
        graph.outputs = graph.operators.pop().inputs[:1]

    original = exported / "baseline.float32.tflite"
    whole = Classifier(original)
    content = bare(original) if whole.metadata.output == "logits" else edited(bare(original), cut)
    metadata = describe(content, labels=LABELS, pixels="0..1")
    assert metadata.output == "logits"
    path = tmp_path / "logits.tflite"
    path.write_bytes(metadata_writer.embed(content, metadata))
    images = splits.test.images[:20]
    assert np.allclose(Classifier(path).predict(images), whole.predict(images), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_with_a_metadata_keeps_its_labels(name: str, exported: Path) -> None:
    """A file that says itself what it is takes no labels of others."""
    content = (exported / f"baseline.{name}").read_bytes()
    with pytest.raises(ModelFileError, match="carries model metadata with labels: leave out"):
        describe(content, labels=LABELS)


def test_the_wrong_interpreter(exported: Path) -> None:
    """An interpreter that cannot run it is a BackendError, as for a model with metadata."""
    with pytest.raises(BackendError, match="onnxruntime does not run tflite models"):
        describe(bare(exported / "baseline.int8.tflite"), labels=LABELS, backend="onnxruntime")


def test_the_description_is_a_metadata(exported: Path) -> None:
    """It survives as JSON, as each metadata does."""
    metadata = describe(bare(exported / "baseline.int8.onnx"), labels=LABELS)
    assert ModelMetadata.from_json(metadata.to_json()) == metadata
    assert isinstance(metadata.input, InputSpec)
