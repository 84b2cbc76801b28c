"""Where the model card lies in a model file, read with nothing but the standard library.

- TFLite: the entry ``fmx.json`` of the ZIP archive that follows the flatbuffer.
- ONNX: the property ``fmx.json`` among the ``metadata_props`` of the ``ModelProto``.

An interpreter believes the bytes that it is given, and some damaged ones end its process. So the
card is read first, and its checksum decides whether an interpreter sees the file at all.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

from fmx_runtime.backend import sniff
from fmx_runtime.card import CARD_KEY
from fmx_runtime.errors import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read_card"]

# numbers in onnx.proto: ModelProto.metadata_props, and key and value of its StringStringEntryProto
_METADATA_PROPS, _KEY, _VALUE = 14, 1, 2
# protobuf's wire types, and how many bytes those of a fixed size have
_VARINT, _DELIMITED = 0, 2
_FIXED_BYTES = {1: 8, 5: 4}


def read_card(content: bytes) -> str:
    """The model card's JSON.

    Args:
        content: the whole model file.

    Raises:
        ModelFileError: neither a TFLite nor an ONNX model, a damaged one, or one without a card.
    """
    model_format = sniff(content)
    if model_format is None:
        raise ModelFileError("neither a TFLite nor an ONNX model")
    try:
        card = _from_zip(content) if model_format == "tflite" else _from_protobuf(content)
        if card is not None:
            return card.decode("utf-8")
    # zipfile meets damaged archives with many kinds, NotImplementedError and zlib.error among them
    except Exception as error:
        raise ModelFileError(
            "is damaged: its model card cannot be read; copy the file anew, or export again"
        ) from error
    raise ModelFileError(
        "carries no model card: it is cut off, or was not written by 'fmx export'; export again"
    )


def _from_zip(content: bytes) -> bytes | None:
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return None
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(CARD_KEY) if CARD_KEY in archive.namelist() else None


def _from_protobuf(content: bytes) -> bytes | None:
    card = None
    for number, field in _delimited_fields(memoryview(content)):
        if number == _METADATA_PROPS:
            entry = dict(_delimited_fields(field))
            if bytes(entry[_KEY]) == CARD_KEY.encode():
                card = bytes(entry[_VALUE])
    return card


def _delimited_fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of each field of a protobuf message that states its length."""
    at = 0
    while at < len(message):
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
    value = shift = 0
    while message[at] & 0x80:
        value |= (message[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return value | message[at] << shift, at + 1
