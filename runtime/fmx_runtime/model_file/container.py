"""A model file's bytes, and where the metadata lies in them; with nothing but the standard library.

- TFLite: the entry ``fmx.json`` of the ZIP archive that follows the flatbuffer.
- ONNX: the property ``fmx.json`` among the ``metadata_props`` of the ``ModelProto``.

An interpreter believes the bytes that it is given, and some damaged ones end its process. So the
metadata is read first, and its checksum decides whether an interpreter sees the file at all.
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

_LARGEST_BYTES = 1 << 30  # the largest of the usual classifiers, VGG19 in float32, has half of that

_SNIFFED_BYTES = 8
_NO_MODEL = "neither a TFLite nor an ONNX model"

# what counts here of ZIP's end record, of an entry of its directory, and of a file's own header
_END = struct.Struct("<10x H L L 2x")  # entries; size and place of the directory
_ENTRY = struct.Struct("<10x H 4x L 4x L H H H 8x L")  # method, CRC, size, lengths, header's place
_HEADER = struct.Struct("<26x H H")  # lengths of name and extra field
_LONGEST_COMMENT = (1 << 16) - 1

# numbers in onnx.proto: ModelProto.metadata_props, and key and value of its StringStringEntryProto
_METADATA_PROPS, _KEY, _VALUE = 14, 1, 2
# protobuf's wire types, and how many bytes those of a fixed size have
_VARINT, _DELIMITED = 0, 2
_FIXED_BYTES = {1: 8, 5: 4}
_VARINT_BYTES = 10  # for 64 bits
_MOST_FIELDS = 100_000  # of a message: read in a tenth of a second; an exported model has a dozen


def read_model(path: str | os.PathLike[str]) -> bytes:
    """A model file's content.

    Raises:
        ModelFileError: it is missing, may not be read, is no regular file, too large, or neither
            a TFLite nor an ONNX model; of such ones no more than the first bytes are read.
    """
    try:
        status = os.stat(path)  # noqa: PTH116  pathlib takes 3 ms of a cold start
        # a device or a pipe may have no end, or no beginning; of a folder the system says it
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise ModelFileError(f"model '{path}' is no regular file, but a device or a pipe")
        with open(path, "rb") as file:  # noqa: PTH123
            start = file.read(_SNIFFED_BYTES)
            if detect_format(start) is None:
                raise ModelFileError(f"'{path}': {_NO_MODEL}")
            if status.st_size > _LARGEST_BYTES:
                raise ModelFileError(
                    f"model '{path}' has {status.st_size} bytes, at most {_LARGEST_BYTES} are read"
                )
            file.seek(0)
            return file.read()
    except FileNotFoundError as error:
        raise ModelFileError(f"model '{path}' does not exist") from error
    except OSError as error:
        raise ModelFileError(f"model '{path}' cannot be read: {error.strerror}") from error
    except MemoryError as error:
        raise ModelFileError(f"model '{path}' does not fit into the memory") from error


def read_checked_metadata(content: bytes) -> ModelMetadata:
    """The metadata, if the model's bytes are those that it was written for.

    Args:
        content: the whole file.

    Raises:
        ModelFileError: no model, without metadata, or another model than the metadata's.
    """
    metadata = ModelMetadata.from_json(read_metadata(content))
    check_model(content, model_sha256=metadata.model_sha256, model_bytes=metadata.model_bytes)
    return metadata


def read_metadata(content: bytes) -> str:
    """The model metadata's JSON.

    Args:
        content: the whole model file.

    Raises:
        ModelFileError: neither a TFLite nor an ONNX model, a damaged one, or one without metadata.
    """
    metadata = find_metadata(content)
    if metadata is None:
        raise ModelFileError(
            "carries no model metadata: it is cut off, or was not written by 'fmx export'; export "
            "again, or name the classes of a model from elsewhere with 'fmx-run --labels FILE'"
        )
    return metadata


def find_metadata(content: bytes) -> str | None:
    """As `read_metadata`, but None for a model without one.

    Whatever the bytes are, neither memory nor time grows faster than their number.
    """
    model_format = detect_format(content)
    if model_format is None:
        raise ModelFileError(_NO_MODEL)
    try:
        metadata = _from_zip(content) if model_format == "tflite" else _from_protobuf(content)
        return None if metadata is None else metadata.decode("utf-8")
    except (struct.error, ValueError, LookupError) as error:
        raise ModelFileError(
            "is damaged: its model metadata cannot be read; copy the file anew, or export again"
        ) from error


def _from_zip(content: bytes) -> bytes | None:
    """The entry, by ZIP's central directory; the last one of that name counts.

    The standard library's `zipfile` would do it too; a tenth of a cold start is its import.
    """
    end = content.rfind(b"PK\5\6", max(0, len(content) - _END.size - _LONGEST_COMMENT))
    if end < 0:
        return None
    entries, directory_size, directory = _END.unpack_from(content, end)
    at = end - directory_size
    before = at - directory  # bytes in front of the archive, if its offsets do not count them
    metadata = None
    for _ in range(entries):
        method, checksum, size, name, extra, comment, header = _ENTRY.unpack_from(content, at)
        if content[at + _ENTRY.size :][:name] == METADATA_KEY.encode():
            # a stored metadata is no larger than the file, while a compressed one could fill the memory
            if method != 0:
                raise ValueError("it is compressed, as 'fmx export' writes none")
            header += before
            start = header + _HEADER.size + sum(_HEADER.unpack_from(content, header))
            metadata = content[start : start + size]
            if zlib.crc32(metadata) != checksum:
                raise ValueError("it is not as it was written")
        at += _ENTRY.size + name + extra + comment
    return metadata


def _from_protobuf(content: bytes) -> bytes | None:
    metadata = None
    for number, field in _delimited_fields(memoryview(content)):
        if number == _METADATA_PROPS:
            entry = dict(_delimited_fields(field))
            if bytes(entry[_KEY]) == METADATA_KEY.encode():
                metadata = bytes(entry[_VALUE])
    return metadata


def _delimited_fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of each field of a protobuf message that states its length."""
    at = 0
    for count in itertools.count():
        if at == len(message):
            return
        if count == _MOST_FIELDS:
            raise ValueError("it has too many fields")
        tag, at = _varint(message, at)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            _, at = _varint(message, at)
            continue
        start = at
        if wire_type == _DELIMITED:
            size, start = _varint(message, at)
        else:
            size = _FIXED_BYTES[wire_type]
        at = start + size
        if at > len(message):
            raise ValueError("it is cut off")
        if wire_type == _DELIMITED:
            yield number, message[start:at]


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that begins at ``at``, seven bits a byte, and where it ends."""
    value = 0
    for index in range(_VARINT_BYTES):
        byte = message[at + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:  # noqa: PLR2004
            return value, at + index + 1
    raise ValueError("a number has no end")
