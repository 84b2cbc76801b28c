"""Find the metadata inside a model file, with nothing but the standard library.

- TFLite: the entry ``fmx.json`` of the ZIP archive that follows the flatbuffer.
- ONNX: the property ``fmx.json`` among the ``metadata_props`` of the ``ModelProto``.

docs/model-file.md specifies both. Interpreters trust the bytes that they are given, and some
damaged files crash them. So the metadata is read first, and its checksums decide whether an
interpreter sees the file at all.
"""

from __future__ import annotations

import itertools
import os
import stat
import struct
import zlib
from typing import TYPE_CHECKING

from fmx_runtime.backends.base import detect_format
from fmx_runtime.errors import ModelFileError
from fmx_runtime.model_file.checksum import check_model
from fmx_runtime.model_file.metadata import METADATA_KEY, ModelMetadata

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["find_metadata", "read_checked_metadata", "read_metadata", "read_model"]

_MAX_FILE_BYTES = 1 << 30
"""Twice the size of VGG19 in float32, the largest of the usual classifiers."""

_FIRST_BYTES = 8  # enough for `detect_format`
_NO_MODEL = "neither a TFLite nor an ONNX model"

# Fields of ZIP records that are needed here; the others are skipped.
_END_RECORD = struct.Struct("<10x H L L 2x")
"""Number of entries; size and offset of the central directory."""
_DIRECTORY_ENTRY = struct.Struct("<10x H 4x L 4x L H H H 8x L")
"""Method, CRC-32, size, lengths of name, extra field and comment, offset of the local header."""
_LOCAL_HEADER = struct.Struct("<26x H H")
"""Lengths of name and extra field."""
_END_SIGNATURE = b"PK\x05\x06"
_MAX_COMMENT_BYTES = (1 << 16) - 1
_STORED = 0  # the method of an entry that is not compressed

# Field numbers in onnx.proto: of ModelProto, and of StringStringEntryProto.
_METADATA_PROPS, _KEY, _VALUE = 14, 1, 2
# Wire types of protobuf, and the number of bytes of those with a fixed size.
_VARINT, _LENGTH_DELIMITED = 0, 2
_FIXED_BYTES = {1: 8, 5: 4}
_MAX_VARINT_BYTES = 10  # for 64 bits
_CONTINUATION_BIT = 0x80
_MAX_FIELDS = 100_000
"""Of one message. That many are read in 0.1 s; an exported model has a dozen."""


def read_model(path: str | os.PathLike[str]) -> bytes:
    """Read a model file.

    Raises:
        ModelFileError: the file is missing, may not be read, is not a regular file, is too large,
            or is neither a TFLite nor an ONNX model. Of the latter only a few bytes are read.
    """
    try:
        status = os.stat(path)  # noqa: PTH116  importing pathlib takes 3 ms of a cold start
        # a device or a pipe may never end; for a folder, open() gives the reason
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise ModelFileError(f"model '{path}' is not a regular file, but a device or a pipe")
        with open(path, "rb") as file:  # noqa: PTH123
            if detect_format(file.read(_FIRST_BYTES)) is None:
                raise ModelFileError(f"'{path}': {_NO_MODEL}")
            if status.st_size > _MAX_FILE_BYTES:
                raise ModelFileError(
                    f"model '{path}' has {status.st_size} bytes, at most {_MAX_FILE_BYTES} are read"
                )
            file.seek(0)
            return file.read()
    except FileNotFoundError as error:
        raise ModelFileError(f"model '{path}' does not exist") from error
    except OSError as error:
        raise ModelFileError(f"model '{path}' cannot be read: {error.strerror}") from error
    except MemoryError as error:
        raise ModelFileError(f"model '{path}' does not fit into memory") from error


def read_checked_metadata(content: bytes) -> ModelMetadata:
    """Return a file's metadata after comparing its checksum and the model's.

    Args:
        content: the whole file.

    Raises:
        ModelFileError: the file is not a model, has no metadata, or a checksum differs.
    """
    metadata = ModelMetadata.from_json(read_metadata(content))
    check_model(content, model_sha256=metadata.model_sha256, model_bytes=metadata.model_bytes)
    return metadata


def read_metadata(content: bytes) -> str:
    """Return the JSON text of a file's metadata; no checksum is compared.

    Args:
        content: the whole file.

    Raises:
        ModelFileError: the file is not a model, is damaged, or has no metadata.
    """
    metadata = find_metadata(content)
    if metadata is None:
        raise ModelFileError(
            "has no model metadata: it is cut off, or was not written by 'fmx export'; export "
            "again, or give the class names of an external model with 'fmx-run --labels FILE'"
        )
    return metadata


def find_metadata(content: bytes) -> str | None:
    """Return what `read_metadata` does, or None for a file without metadata.

    Time and memory grow at most linearly with the file's size, whatever it holds.

    Raises:
        ModelFileError: the file is not a model, or is damaged.
    """
    model_format = detect_format(content)
    if model_format is None:
        raise ModelFileError(_NO_MODEL)
    try:
        metadata = _find_in_zip(content) if model_format == "tflite" else _find_in_onnx(content)
        return None if metadata is None else metadata.decode("utf-8")
    except (struct.error, ValueError, LookupError) as error:
        raise ModelFileError(
            "is damaged: its model metadata cannot be read; copy the file anew, or export again"
        ) from error


def _find_in_zip(content: bytes) -> bytes | None:
    """Return the entry of a ZIP archive that its central directory lists last under that name.

    Written by hand, because importing the standard library's `zipfile` takes a tenth of a cold
    start.
    """
    search_start = max(0, len(content) - _END_RECORD.size - _MAX_COMMENT_BYTES)
    end = content.rfind(_END_SIGNATURE, search_start)
    if end < 0:
        return None
    entries, directory_size, directory_offset = _END_RECORD.unpack_from(content, end)
    position = end - directory_size
    # offsets may or may not count the bytes in front of the archive
    archive_start = position - directory_offset
    metadata = None
    for _ in range(entries):
        fields = _DIRECTORY_ENTRY.unpack_from(content, position)
        method, checksum, size, name_size, extra_size, comment_size, header_offset = fields
        name_start = position + _DIRECTORY_ENTRY.size
        if content[name_start : name_start + name_size] == METADATA_KEY.encode():
            # a stored entry is no larger than the file; a compressed one could fill the memory
            if method != _STORED:
                raise ValueError("the entry is compressed")
            header = archive_start + header_offset
            start = header + _LOCAL_HEADER.size + sum(_LOCAL_HEADER.unpack_from(content, header))
            metadata = content[start : start + size]
            if zlib.crc32(metadata) != checksum:
                raise ValueError("the entry's CRC-32 differs")
        position = name_start + name_size + extra_size + comment_size
    return metadata


def _find_in_onnx(content: bytes) -> bytes | None:
    """Return the value of the last metadata property of that name."""
    metadata = None
    for number, field in _length_delimited_fields(memoryview(content)):
        if number == _METADATA_PROPS:
            entry = dict(_length_delimited_fields(field))
            if bytes(entry[_KEY]) == METADATA_KEY.encode():
                metadata = bytes(entry[_VALUE])
    return metadata


def _length_delimited_fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of each length-delimited field of a protobuf message."""
    position = 0
    for count in itertools.count():
        if position == len(message):
            return
        if count == _MAX_FIELDS:
            raise ValueError("the message has too many fields")
        tag, position = _read_varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            _, position = _read_varint(message, position)
            continue
        start = position
        if wire_type == _LENGTH_DELIMITED:
            size, start = _read_varint(message, position)
        else:
            size = _FIXED_BYTES[wire_type]
        position = start + size
        if position > len(message):
            raise ValueError("the message is cut off")
        if wire_type == _LENGTH_DELIMITED:
            yield number, message[start:position]


def _read_varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return the number that begins at ``position``, seven bits a byte, and where it ends."""
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        byte = message[position + index]
        value |= (byte & ~_CONTINUATION_BIT) << 7 * index
        if not byte & _CONTINUATION_BIT:
            return value, position + index + 1
    raise ValueError("the number does not end")
