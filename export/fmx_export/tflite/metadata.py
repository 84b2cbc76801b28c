"""The standard TFLite metadata: what MediaPipe, Android Studio and other tools read of a model.

A flatbuffer of its own inside the model's: normalization, colour, meaning of the output, and that
the labels lie in ``labels.txt`` behind the model. The numbers of fields are those of the public
``metadata_schema.fbs``, and of ``schema.fbs`` for the model.

A flatbuffer is written from back to front, and its offsets point forwards only. So the converter's
bytes stay as they are, and aligned as they are: a new root table, with one buffer more, is written
in front of them and points into them. Packing the model anew would go through each weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import flatbuffers
import numpy as np
from flatbuffers import encode, number_types
from flatbuffers.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmx_runtime.model_file.metadata import InputSpec, ModelMetadata

__all__ = ["LABELS_KEY", "describe"]

LABELS_KEY = "labels.txt"
"""Name of the ZIP entry behind the model that holds the labels, one a line."""

_NAME = "TFLITE_METADATA"  # what readers look for among the model's buffers
_IDENTIFIER, _MODEL_IDENTIFIER = b"M001", b"TFL3"
_PARSER = "1.0.0"  # the first version of the schema that has all that is written here
_ALIGNMENT = 16  # bytes, of a buffer's data

# the model's root table, and those of its fields that are written anew
_MODEL_FIELDS, _VERSION, _BUFFERS, _METADATA = 10, 0, 4, 6


class _Byte(int):
    """A field of a table that is a number of 8 bits."""


class _Word(int):
    """A field of a table that is a number of 32 bits."""


_Field = _Byte | _Word | int | None
"""Of a table: a number, an offset, or left out."""

# values of the metadata's enumerations and unions
_RGB, _GRAYSCALE = _Byte(1), _Byte(2)
_FEATURE_PROPERTIES, _IMAGE_PROPERTIES = _Byte(1), _Byte(2)
_NORMALIZATION_OPTIONS = _Byte(1)
_TENSOR_AXIS_LABELS = _Byte(2)


def describe(model: bytes, metadata: ModelMetadata) -> bytes:
    """Put the standard metadata into a TFLite model.

    Args:
        model: the flatbuffer, as `export_tflite` returned it.
        metadata: what the metadata is taken from.

    Returns:
        A flatbuffer whose last bytes are ``model``, but for up to 15 zeros; equal arguments give
        equal bytes.
    """
    writer = _Writer(len(model))
    # offsets count from the end; a vector's is that of its length, four bytes before its data
    start = writer.data(model) - 4
    old = Table(model, encode.Get(number_types.UOffsetTFlags.packer_type, model, 0))

    def place(slot: int) -> int:
        """Of a field of the old root table in ``model``; 0 where it is left out."""
        field: int = old.Offset(4 + 2 * slot)
        return field and old.Pos + field

    def tables(slot: int) -> list[int]:
        """Offsets of the tables in a vector of the old root table."""
        if not place(slot):
            return []
        vector = old.Indirect(place(slot))
        size = old.Get(number_types.Uint32Flags, vector)
        return [start - old.Indirect(vector + 4 + 4 * index) for index in range(size)]

    buffers = [*tables(_BUFFERS), writer.table(writer.data(_metadata(metadata)))]
    entry = writer.table(writer.text(_NAME), _Word(len(buffers) - 1))
    fields: list[_Field] = [
        start - old.Indirect(place(slot)) if place(slot) else None for slot in range(_MODEL_FIELDS)
    ]
    fields[_VERSION] = _Word(old.Get(number_types.Uint32Flags, place(_VERSION)))
    fields[_BUFFERS] = writer.tables(buffers)
    fields[_METADATA] = writer.tables([*tables(_METADATA), entry])
    return writer.finish(writer.table(*fields), _MODEL_IDENTIFIER)


def _metadata(metadata: ModelMetadata) -> bytes:
    """The table ``ModelMetadata``."""
    writer = _Writer()
    subgraph = writer.table(
        None,
        None,
        writer.tables([_input(writer, metadata.input)]),
        writer.tables([_output(writer, metadata)]),
    )
    model = writer.table(
        writer.text(metadata.name),
        writer.text(f"Image classifier, {len(metadata.labels)} classes, {metadata.precision}"),
        # another version of a model is other weights
        writer.text(metadata.provenance.keras_digest[:12]),
        writer.tables([subgraph]),
        None,
        None,
        None,
        writer.text(_PARSER),
    )
    return writer.finish(model, _IDENTIFIER)


def _input(writer: _Writer, spec: InputSpec) -> int:
    """The table ``TensorMetadata`` of the image.

    Mean and deviation say what a pixel means to the network, in uint8 files too: there, the
    tensor's own scale and zero point make a byte of it again, which is the pixel's.
    """
    colour, space = ("gray", _GRAYSCALE) if spec.channels == 1 else ("RGB", _RGB)
    ground = ", light things on a dark ground" if spec.polarity == "light-on-dark" else ""
    # the zero that is added makes 0 of -0
    mean, deviation = -spec.offset / spec.scale + 0.0, 1 / spec.scale
    options = writer.table(writer.numbers(mean), writer.numbers(deviation))
    black, white = spec.offset, 255 * spec.scale + spec.offset
    if spec.dtype == "uint8":
        black, white = 0, 255
    return writer.table(
        writer.text("image"),
        writer.text(f"{spec.width}x{spec.height} pixels, {colour}{ground}"),
        None,
        writer.table(_IMAGE_PROPERTIES, writer.table(space)),
        writer.tables([writer.table(_NORMALIZATION_OPTIONS, options)]),
        writer.table(writer.numbers(white), writer.numbers(black)),
    )


def _output(writer: _Writer, metadata: ModelMetadata) -> int:
    """The table ``TensorMetadata`` of the answer; a file that takes bytes answers in bytes."""
    labels = writer.table(
        writer.text(LABELS_KEY),
        writer.text("the classes, one a line"),
        _TENSOR_AXIS_LABELS,
    )
    stats = None  # floating logits have no bounds
    if metadata.input.dtype == "uint8":
        stats = writer.table(writer.numbers(255), writer.numbers(0))
    elif metadata.output == "probabilities":
        stats = writer.table(writer.numbers(1), writer.numbers(0))
    return writer.table(
        writer.text(metadata.output),
        writer.text(f"{metadata.output} of the classes"),
        None,
        writer.table(_FEATURE_PROPERTIES, writer.table()),
        None,
        stats,
        writer.tables([labels]),
    )


class _Writer:
    """A flatbuffer in the making; its methods return offsets, for the tables that follow."""

    def __init__(self, size: int = 0) -> None:
        self._builder = flatbuffers.Builder(size + 4096)

    def data(self, content: bytes) -> int:
        """Bytes, aligned as a model's buffers have to be."""
        self._builder.Prep(_ALIGNMENT, len(content))
        offset: int = self._builder.CreateByteVector(content)
        return offset

    def text(self, text: str) -> int:
        offset: int = self._builder.CreateString(text)
        return offset

    def numbers(self, *values: float) -> int:
        offset: int = self._builder.CreateNumpyVector(np.array(values, np.float32))
        return offset

    def tables(self, offsets: Sequence[int]) -> int:
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        vector: int = self._builder.EndVector()
        return vector

    def table(self, *fields: _Field) -> int:
        """A table with its fields in the order of the schema."""
        self._builder.StartObject(len(fields))
        for slot, field in enumerate(fields):
            match field:
                case _Byte():
                    self._builder.PrependUint8Slot(slot, field, 0)
                case _Word():
                    self._builder.PrependUint32Slot(slot, field, 0)
                case int():
                    self._builder.PrependUOffsetTRelativeSlot(slot, field, 0)
        offset: int = self._builder.EndObject()
        return offset

    def finish(self, root: int, identifier: bytes) -> bytes:
        self._builder.Finish(root, identifier)
        return bytes(self._builder.Output())
