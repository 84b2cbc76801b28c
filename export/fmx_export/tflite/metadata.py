"""Write the standard TFLite metadata, which MediaPipe, Android Studio and other tools read.

It is a separate flatbuffer in one of the model's buffers. It describes normalization, color
space and output, and refers to the labels in ``labels.txt`` behind the model. The slots of the
fields are those of the public schemas: ``metadata_schema.fbs``, and ``schema.fbs`` for the model.

A flatbuffer is written back to front, and its offsets only point forward. So the converter's bytes
stay as they are, with their alignment: a new root table and one more buffer are written in front
of them, and the new table points into the old bytes. Unpacking and packing the whole model would
copy every weight in Python.
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

__all__ = ["LABELS_KEY", "add_tflite_metadata"]

LABELS_KEY = "labels.txt"
"""Name of the ZIP entry behind the model that holds the labels, one per line."""

_METADATA_NAME = "TFLITE_METADATA"  # readers look for this entry in the model's metadata
_METADATA_IDENTIFIER, _MODEL_IDENTIFIER = b"M001", b"TFL3"
_MIN_PARSER_VERSION = "1.0.0"  # the first version of the schema with all fields that are used here
_BUFFER_ALIGNMENT = 16  # bytes

_MODEL_FIELDS = 10
"""Number of fields of the model's root table."""
_VERSION, _BUFFERS, _METADATA = 0, 4, 6
"""Slots of the fields of the root table that are written anew."""


class _UInt8(int):
    """Value of an 8-bit field of a table."""


class _UInt32(int):
    """Value of a 32-bit field of a table."""


_Field = _UInt8 | _UInt32 | int | None
"""Field of a table: a number, the offset of another object, or omitted."""

# values of the metadata schema's enumerations and unions
_RGB, _GRAYSCALE = _UInt8(1), _UInt8(2)
_FEATURE_PROPERTIES, _IMAGE_PROPERTIES = _UInt8(1), _UInt8(2)
_NORMALIZATION_OPTIONS = _UInt8(1)
_TENSOR_AXIS_LABELS = _UInt8(2)


def add_tflite_metadata(model: bytes, metadata: ModelMetadata) -> bytes:
    """Add the standard metadata to a TFLite model.

    Args:
        model: the flatbuffer, as `export_tflite` or `quantize_tflite` returned it.
        metadata: the model metadata to describe.

    Returns:
        A flatbuffer that ends with ``model``, padded with up to 15 zeros. Equal arguments give
        equal bytes.
    """
    writer = _TableWriter(len(model))
    # offsets count from the end; a vector's is that of its length, four bytes before its data
    start = writer.data(model) - 4
    root = Table(model, encode.Get(number_types.UOffsetTFlags.packer_type, model, 0))

    def position(slot: int) -> int:
        """Return where a field of the old root table lies in ``model``; 0 if it is omitted."""
        field: int = root.Offset(4 + 2 * slot)
        return field and root.Pos + field

    def table_offsets(slot: int) -> list[int]:
        """Return the offsets of the tables in a vector of the old root table."""
        if not position(slot):
            return []
        vector = root.Indirect(position(slot))
        size = root.Get(number_types.Uint32Flags, vector)
        return [start - root.Indirect(vector + 4 + 4 * index) for index in range(size)]

    buffers = [*table_offsets(_BUFFERS), writer.table(writer.data(_model_metadata(metadata)))]
    entry = writer.table(writer.text(_METADATA_NAME), _UInt32(len(buffers) - 1))
    fields: list[_Field] = [
        start - root.Indirect(position(slot)) if position(slot) else None
        for slot in range(_MODEL_FIELDS)
    ]
    fields[_VERSION] = _UInt32(root.Get(number_types.Uint32Flags, position(_VERSION)))
    fields[_BUFFERS] = writer.tables(buffers)
    fields[_METADATA] = writer.tables([*table_offsets(_METADATA), entry])
    return writer.finish(writer.table(*fields), _MODEL_IDENTIFIER)


def _model_metadata(metadata: ModelMetadata) -> bytes:
    """Return the flatbuffer of the table ``ModelMetadata``."""
    writer = _TableWriter()
    subgraph = writer.table(
        None,
        None,
        writer.tables([_input(writer, metadata.input)]),
        writer.tables([_output(writer, metadata)]),
    )
    model = writer.table(
        writer.text(metadata.name),
        writer.text(f"Image classifier, {len(metadata.labels)} classes, {metadata.precision}"),
        # the model's version: new weights are a new version
        writer.text(metadata.provenance.keras_digest[:12]),
        writer.tables([subgraph]),
        None,
        None,
        None,
        writer.text(_MIN_PARSER_VERSION),
    )
    return writer.finish(model, _METADATA_IDENTIFIER)


def _input(writer: _TableWriter, spec: InputSpec) -> int:
    """Write the table ``TensorMetadata`` of the image.

    Mean and standard deviation normalize a pixel for the float network. They are the same in files
    with uint8 input: there, quantizing the normalized value gives the pixel's byte again.
    """
    color, color_space = ("gray", _GRAYSCALE) if spec.channels == 1 else ("RGB", _RGB)
    polarity = ", light things on a dark ground" if spec.polarity == "light-on-dark" else ""
    # adding zero turns -0.0 into 0.0
    mean, deviation = -spec.offset / spec.scale + 0.0, 1 / spec.scale
    options = writer.table(writer.numbers(mean), writer.numbers(deviation))
    low, high = spec.offset, 255 * spec.scale + spec.offset
    if spec.dtype == "uint8":
        low, high = 0, 255
    return writer.table(
        writer.text("image"),
        writer.text(f"{spec.width}x{spec.height} pixels, {color}{polarity}"),
        None,
        writer.table(_IMAGE_PROPERTIES, writer.table(color_space)),
        writer.tables([writer.table(_NORMALIZATION_OPTIONS, options)]),
        writer.table(writer.numbers(high), writer.numbers(low)),
    )


def _output(writer: _TableWriter, metadata: ModelMetadata) -> int:
    """Write the table ``TensorMetadata`` of the output; it is uint8 where the input is."""
    labels = writer.table(
        writer.text(LABELS_KEY),
        writer.text("the classes, one a line"),
        _TENSOR_AXIS_LABELS,
    )
    stats = None  # float logits have no limits
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


class _TableWriter:
    """Writes the tables of a flatbuffer; its methods return offsets for other tables."""

    def __init__(self, expected_size: int = 0) -> None:
        self._builder = flatbuffers.Builder(expected_size + 4096)

    def data(self, content: bytes) -> int:
        """Write a vector of bytes with the alignment of a model's buffers."""
        self._builder.Prep(_BUFFER_ALIGNMENT, len(content))
        offset: int = self._builder.CreateByteVector(content)
        return offset

    def text(self, text: str) -> int:
        """Write a string."""
        offset: int = self._builder.CreateString(text)
        return offset

    def numbers(self, *values: float) -> int:
        """Write a vector of float32."""
        offset: int = self._builder.CreateNumpyVector(np.array(values, np.float32))
        return offset

    def tables(self, offsets: Sequence[int]) -> int:
        """Write a vector of tables."""
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        vector: int = self._builder.EndVector()
        return vector

    def table(self, *fields: _Field) -> int:
        """Write a table with its fields in the order of the schema."""
        self._builder.StartObject(len(fields))
        for slot, field in enumerate(fields):
            match field:
                case _UInt8():
                    self._builder.PrependUint8Slot(slot, field, 0)
                case _UInt32():
                    self._builder.PrependUint32Slot(slot, field, 0)
                case int():
                    self._builder.PrependUOffsetTRelativeSlot(slot, field, 0)
        offset: int = self._builder.EndObject()
        return offset

    def finish(self, root: int, identifier: bytes) -> bytes:
        """Return the finished flatbuffer."""
        self._builder.Finish(root, identifier)
        return bytes(self._builder.Output())
