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
from fmx_runtime.model_file.external_model import describe_external_model
from fmx_runtime.model_file.metadata import InputSpec, ModelMetadata

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fmx_training.data.dataset import Splits

NAMES = ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"]
LABELS = tuple("abcdefghij")


def bare(path: Path) -> bytes:
    """A file without its metadata, as converters write it."""
    content = path.read_bytes()
    return content[: ModelMetadata.from_json(read_metadata(content)).model_bytes]


def edited(content: bytes, change: Callable[[tflite.ModelT], None]) -> bytes:
    """A TFLite model with some of its tables changed."""
    model = tflite.ModelT.InitFromPackedBuf(content, 0)
    change(model)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def without_standard_metadata(content: bytes) -> bytes:
    """A TFLite model without standard metadata."""

    def change(model: tflite.ModelT) -> None:
        model.metadata = []

    return edited(content, change)


def normalization(means: list[float], deviations: list[float], *, units: int = 1) -> bytes:
    """TFLite standard metadata that normalize the input, in the last process unit."""
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


def with_standard_metadata(content: bytes, data: bytes) -> bytes:
    """A TFLite model with this standard metadata."""

    def change(model: tflite.ModelT) -> None:
        buffer, entry, other = tflite.BufferT(), tflite.MetadataT(), tflite.MetadataT()
        buffer.data = np.frombuffer(data, np.uint8)
        model.buffers.append(buffer)
        other.name, other.buffer = "min_runtime_version", 0
        entry.name, entry.buffer = "TFLITE_METADATA", len(model.buffers) - 1
        model.metadata = [other, entry]

    return edited(content, change)


@pytest.mark.parametrize("name", NAMES)
def test_described_model_predicts_as_the_original(
    name: str, exported: Path, splits: Splits, tmp_path: Path
) -> None:
    """With labels and an input range, a file without metadata predicts as the one with them."""
    original = exported / f"baseline.{name}"
    content = bare(original)
    metadata = describe_external_model(content, labels=splits.train.class_names, input_range="0..1")
    assert metadata.model_sha256 == hashlib.sha256(content).hexdigest()
    assert metadata.precision == name.partition(".")[0]
    path = tmp_path / name
    path.write_bytes(metadata_writer.write_metadata(content, metadata))
    images = splits.test.images[:20]
    described, whole = Classifier(path), Classifier(original)
    assert described.metadata.labels == whole.metadata.labels
    assert np.array_equal(described.predict(images), whole.predict(images))


def test_images_are_stretched_and_not_inverted(exported: Path) -> None:
    """Nothing states that an external model needs light objects or borders."""
    metadata = describe_external_model(bare(exported / "baseline.int8.tflite"), labels=LABELS)
    assert (metadata.input.resize, metadata.input.polarity, metadata.input.subject) == (
        "stretch",
        "any",
        "whole",
    )
    assert (metadata.accuracy, metadata.test_vectors, metadata.quantization) == (None, None, None)


@pytest.mark.parametrize(
    ("stated", "ends"), [("0..1", (0, 1)), ("-1..1", (-1, 1)), ("0..255", (0, 255))]
)
def test_input_range(
    stated: external_model.InputRange, ends: tuple[float, float], exported: Path
) -> None:
    """Pixel values 0 and 255 become the ends of the range, whatever the file itself states."""
    metadata = describe_external_model(
        bare(exported / "baseline.float32.tflite"), labels=LABELS, input_range=stated
    )
    assert tuple(to_tensor(np.array([0, 255], np.uint8), metadata.input)) == pytest.approx(ends)


def test_input_ranges_are_those_of_the_exporter() -> None:
    """An input range has the same meaning on the device and in the exporter."""
    assert external_model.INPUT_RANGES == input_range.INPUT_RANGES


def test_uint8_input_needs_no_range(exported: Path) -> None:
    """A uint8 input takes pixel values unchanged, in either format."""
    for name in ("int8.tflite", "int8.onnx"):
        spec = describe_external_model(bare(exported / f"baseline.{name}"), labels=LABELS).input
        assert (spec.dtype, spec.scale, spec.offset) == ("uint8", 1.0, 0.0)


def test_float_input_needs_a_range(exported: Path) -> None:
    """Where no standard metadata states the range, the message names the option for it."""
    for content in (
        bare(exported / "baseline.float32.onnx"),
        without_standard_metadata(bare(exported / "baseline.float32.tflite")),
    ):
        with pytest.raises(
            ModelFileError,
            match=r"--input-range=0\.\.1, --input-range=-1\.\.1 or --input-range=0\.\.255",
        ):
            describe_external_model(content, labels=LABELS)


@pytest.mark.parametrize(("scale", "offset"), [(1 / 255, 0.0), (1 / 127.5, -1.0), (1.0, 0.0)])
def test_normalization_written_by_fmx(scale: float, offset: float, exported: Path) -> None:
    """Each scale and offset that the exporter writes as standard metadata is read again."""
    path = exported / "baseline.float32.tflite"
    whole = ModelMetadata.from_json(read_metadata(path.read_bytes()))
    stated = dataclasses.replace(whole.input, scale=scale, offset=offset)
    model = without_standard_metadata(bare(path))
    content = metadata_writer.write_metadata(model, dataclasses.replace(whole, input=stated))
    size = ModelMetadata.from_json(read_metadata(content)).model_bytes
    found = describe_external_model(content[:size], labels=LABELS).input
    assert (found.scale, found.offset) == pytest.approx((scale, offset))


def test_normalization_written_by_other_tools(exported: Path) -> None:
    """The right entry and process unit are found; equal values of three colors become one."""
    model = bare(exported / "baseline.float32.tflite")
    content = with_standard_metadata(model, normalization([127.5] * 3, [127.5] * 3, units=3))
    found = describe_external_model(content, labels=LABELS).input
    assert (found.scale, found.offset) == pytest.approx((1 / 127.5, -1))


@pytest.mark.parametrize(
    ("means", "deviations"),
    [([1.0, 2.0, 3.0], [1.0]), ([0.0], [1.0, 2.0]), ([0.0], [0.0]), ([0.0], [-1.0])],
)
def test_normalization_per_channel_is_refused(
    means: list[float], deviations: list[float], exported: Path
) -> None:
    """Channels with values of their own are refused with these values, and not averaged."""
    model = bare(exported / "baseline.float32.tflite")
    content = with_standard_metadata(model, normalization(means, deviations))
    with pytest.raises(ModelFileError, match=r"normalizes colors by means \(.*\) and standard"):
        describe_external_model(content, labels=LABELS)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_normalization_must_be_finite(value: float, exported: Path) -> None:
    """A mean that is NaN or infinite is refused."""
    model = bare(exported / "baseline.float32.tflite")
    with pytest.raises(ModelFileError, match="is not a number between"):
        describe_external_model(
            with_standard_metadata(model, normalization([value], [1.0])), labels=LABELS
        )


@given(st.binary(max_size=400))
def test_arbitrary_bytes_as_model(rest: bytes) -> None:
    """Arbitrary bytes behind the TFLite identifier give a few numbers or none, and no exception."""
    means, deviations = external_model._read_normalization(b"\x08\x00\x00\x00TFL3" + rest)
    assert len(means) <= 4
    assert len(deviations) <= 4


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_changed_byte_of_standard_metadata(place: int, value: int) -> None:
    """With any byte of the standard metadata changed, numbers or nothing are read."""
    data = bytearray(normalization([127.5], [127.5]))
    data[place % len(data)] = value
    model = tflite.ModelT()
    model.version, model.buffers, model.subgraphs = 3, [tflite.BufferT()], []
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    content = with_standard_metadata(bytes(builder.Output()), bytes(data))
    for numbers in external_model._read_normalization(content):
        assert all(isinstance(number, float) for number in numbers)


def test_a_vector_that_states_four_billion_entries() -> None:
    """A damaged number of metadata entries gives no normalization, and soon."""
    content = struct.pack("<I4siii", 12, b"TFL3", 0, -8, 22)
    content += struct.pack("<9H", 18, 8, 0, 0, 0, 0, 0, 0, 4)
    content += struct.pack("<I", 0xFFFFFFFF) + bytes(64)
    assert external_model._read_normalization(content) == ((), ())


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[:9], "has 10 classes, but 9 labels are given: .*put a line 'background' in front"),
        ((*LABELS, "k"), "has 10 classes, but 11 labels are given: .*background, take it out"),
        (LABELS[:3], "has 10 classes, but 3 labels are given: give one label for each class"),
        ((), "has 10 classes, but 0 labels"),
        ((*LABELS[:9], " "), "label 10 is ' ': empty"),
        ((*LABELS[:9], "a\x1b[2J"), r"label 10 is 'a\\x1b\[2J': empty, or not printable"),
        (("a\nb", *LABELS[1:]), r"label 1 is 'a\\nb'"),
    ],
)
def test_wrong_labels_are_refused(labels: tuple[str, ...], message: str, exported: Path) -> None:
    """A wrong number of labels is refused with both numbers; so is an unprintable label."""
    with pytest.raises(ModelFileError, match=message) as caught:
        describe_external_model(bare(exported / "baseline.int8.tflite"), labels=labels)
    assert "\n" not in str(caught.value)


def test_labels_may_repeat(exported: Path) -> None:
    """Two classes may have the same name, such as the two cranes of ImageNet."""
    labels = ("crane",) * 10
    assert (
        describe_external_model(bare(exported / "baseline.int8.tflite"), labels=labels).labels
        == labels
    )


def test_logits_are_detected(exported: Path, splits: Splits, tmp_path: Path) -> None:
    """A model without its softmax is described as one of logits, and predicts as the original."""

    def cut(model: tflite.ModelT) -> None:
        graph = model.subgraphs[0]
        graph.outputs = graph.operators.pop().inputs[:1]

    original = exported / "baseline.float32.tflite"
    whole = Classifier(original)
    content = bare(original) if whole.metadata.output == "logits" else edited(bare(original), cut)
    metadata = describe_external_model(content, labels=LABELS, input_range="0..1")
    assert metadata.output == "logits"
    path = tmp_path / "logits.tflite"
    path.write_bytes(metadata_writer.write_metadata(content, metadata))
    images = splits.test.images[:20]
    assert np.allclose(Classifier(path).predict(images), whole.predict(images), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_with_metadata_is_refused(name: str, exported: Path) -> None:
    """A file with metadata does not take other labels."""
    content = (exported / f"baseline.{name}").read_bytes()
    with pytest.raises(ModelFileError, match="has model metadata with labels: do not give"):
        describe_external_model(content, labels=LABELS)


def test_interpreter_for_the_other_format(exported: Path) -> None:
    """An interpreter that does not run the format is a BackendError."""
    with pytest.raises(BackendError, match="onnxruntime does not run tflite models"):
        describe_external_model(
            bare(exported / "baseline.int8.tflite"), labels=LABELS, backend="onnxruntime"
        )


def test_description_survives_as_json(exported: Path) -> None:
    """The metadata are equal after writing and reading them as JSON."""
    metadata = describe_external_model(bare(exported / "baseline.int8.onnx"), labels=LABELS)
    assert ModelMetadata.from_json(metadata.to_json()) == metadata
    assert isinstance(metadata.input, InputSpec)
