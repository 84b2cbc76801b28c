"""Write the model metadata into a model file: the last step of an export.

No other module writes metadata. In both containers the metadata is a trailer behind the
converter's own bytes, which are not changed:

- TFLite: a ZIP archive, as for TFLite's own associated files, uncompressed and with fixed dates.
  Standard TFLite metadata is added to the flatbuffer first, see `fmx_export.tflite.metadata`.
- ONNX: a second, partial ``ModelProto`` that holds only ``metadata_props``. Parsers merge
  concatenated protobuf messages.

So the model's checksum covers the first ``model_bytes`` bytes of the file. A device can check it
with ``hashlib`` alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import zipfile
from typing import TYPE_CHECKING

import onnx

from fmx_export.tflite.metadata import LABELS_KEY, add_tflite_metadata
from fmx_runtime.backends.base import detect_format
from fmx_runtime.errors import ExportError
from fmx_runtime.model_file.metadata import METADATA_KEY

if TYPE_CHECKING:
    from fmx_runtime.model_file.metadata import ModelMetadata

__all__ = ["write_metadata"]

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest date that ZIP can store."""


def write_metadata(model: bytes, metadata: ModelMetadata) -> bytes:
    """Append metadata to a converted model.

    Args:
        model: a TFLite or ONNX model without metadata, as the converters return it.
        metadata: the model's size and checksum are filled in here.

    Returns:
        The model file's bytes; equal arguments give equal bytes.

    Raises:
        ExportError: ``model`` is neither TFLite nor ONNX.
    """
    match detect_format(model):
        case "tflite":
            with_tflite_metadata = add_tflite_metadata(model, metadata)
            return _append_zip(with_tflite_metadata, _with_checksum(metadata, with_tflite_metadata))
        case "onnx":
            return model + _metadata_props(_with_checksum(metadata, model))
    raise ExportError("only TFLite and ONNX models can hold metadata")


def _with_checksum(metadata: ModelMetadata, model: bytes) -> ModelMetadata:
    return dataclasses.replace(
        metadata, model_sha256=hashlib.sha256(model).hexdigest(), model_bytes=len(model)
    )


def _append_zip(model: bytes, metadata: ModelMetadata) -> bytes:
    """Append a ZIP archive with the metadata and the labels to a TFLite model."""
    entries = {
        METADATA_KEY: metadata.to_json(),
        LABELS_KEY: "".join(f"{label}\n" for label in metadata.labels),
    }
    buffer = io.BytesIO(model)
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, text in entries.items():
            archive.writestr(zipfile.ZipInfo(name, date_time=_ZIP_EPOCH), text.encode("utf-8"))
    return buffer.getvalue()


def _metadata_props(metadata: ModelMetadata) -> bytes:
    """Return a partial ONNX model with nothing but the metadata."""
    partial = onnx.ModelProto()
    onnx.helper.set_model_props(partial, {METADATA_KEY: metadata.to_json()})
    content: bytes = partial.SerializeToString(deterministic=True)
    return content
