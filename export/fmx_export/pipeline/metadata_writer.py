"""The model metadata into the model file: the last step, and the only writer of metadata.

Both containers are trailers behind the converter's own bytes, which stay as they are:

- TFLite: a ZIP archive, as TFLite's own associated files. Fixed dates, nothing compressed. In front
  of the converter's bytes, TFLite's standard metadata says what lies in it.
- ONNX: a second, partial ``ModelProto`` with nothing but ``metadata_props``. Concatenated protobuf
  messages merge when they are parsed.

So the metadata's checksum covers the first ``model_bytes`` bytes, and can be checked on the device
with nothing but ``hashlib``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import zipfile
from typing import TYPE_CHECKING

import onnx

from fmx_export.tflite.metadata import LABELS_KEY, describe
from fmx_runtime.backends.base import detect_format
from fmx_runtime.errors import ExportError
from fmx_runtime.model_file.metadata import METADATA_KEY

if TYPE_CHECKING:
    from fmx_runtime.model_file.metadata import ModelMetadata

__all__ = ["embed"]

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that ZIP knows


def embed(model: bytes, metadata: ModelMetadata) -> bytes:
    """Append metadata to a converted model.

    Args:
        model: as `export_tflite` or `export_onnx` returned it.
        metadata: its size and checksum are filled in here.

    Returns:
        The model file's bytes; equal arguments give equal bytes.

    Raises:
        ExportError: ``model`` is neither TFLite nor ONNX.
    """
    match detect_format(model):
        case "tflite":
            described = describe(model, metadata)
            return _append_zip(described, _sealed(metadata, described))
        case "onnx":
            return model + _metadata(_sealed(metadata, model))
    raise ExportError("only TFLite and ONNX models can carry metadata")


def _sealed(metadata: ModelMetadata, model: bytes) -> ModelMetadata:
    return dataclasses.replace(
        metadata, model_sha256=hashlib.sha256(model).hexdigest(), model_bytes=len(model)
    )


def _append_zip(model: bytes, metadata: ModelMetadata) -> bytes:
    entries = {
        METADATA_KEY: metadata.to_json(),
        LABELS_KEY: "".join(f"{x}\n" for x in metadata.labels),
    }
    buffer = io.BytesIO(model)
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, text in entries.items():
            archive.writestr(zipfile.ZipInfo(name, date_time=_EPOCH), text.encode("utf-8"))
    return buffer.getvalue()


def _metadata(metadata: ModelMetadata) -> bytes:
    partial = onnx.ModelProto()
    onnx.helper.set_model_props(partial, {METADATA_KEY: metadata.to_json()})
    content: bytes = partial.SerializeToString(deterministic=True)
    return content
