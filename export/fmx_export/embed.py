"""The model card into the model file: the last step, and the only writer of cards.

Both carriers are trailers behind the converter's own bytes, which stay as they are:

- TFLite: a ZIP archive, as TFLite's own associated files. Fixed dates, nothing compressed. In front
  of the converter's bytes, TFLite's standard metadata says what lies in it.
- ONNX: a second, partial ``ModelProto`` with nothing but ``metadata_props``. Concatenated protobuf
  messages merge when they are parsed.

So the card's checksum covers the first ``model_bytes`` bytes, and can be checked on the device
with nothing but ``hashlib``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import zipfile
from typing import TYPE_CHECKING

import onnx

from fmx_export.tflite_metadata import LABELS_KEY, describe
from fmx_runtime.backend import sniff
from fmx_runtime.card import CARD_KEY
from fmx_runtime.errors import ExportError

if TYPE_CHECKING:
    from fmx_runtime.card import ModelCard

__all__ = ["embed"]

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that ZIP knows


def embed(model: bytes, card: ModelCard) -> bytes:
    """Append a card to a converted model.

    Args:
        model: as `export_tflite` or `export_onnx` returned it.
        card: its size and checksum are filled in here.

    Returns:
        The model file's bytes; equal arguments give equal bytes.

    Raises:
        ExportError: ``model`` is neither TFLite nor ONNX.
    """
    match sniff(model):
        case "tflite":
            described = describe(model, card)
            return _append_zip(described, _sealed(card, described))
        case "onnx":
            return model + _metadata(_sealed(card, model))
    raise ExportError("only TFLite and ONNX models can carry a card")


def _sealed(card: ModelCard, model: bytes) -> ModelCard:
    return dataclasses.replace(
        card, model_sha256=hashlib.sha256(model).hexdigest(), model_bytes=len(model)
    )


def _append_zip(model: bytes, card: ModelCard) -> bytes:
    entries = {CARD_KEY: card.to_json(), LABELS_KEY: "".join(f"{x}\n" for x in card.labels)}
    buffer = io.BytesIO(model)
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, text in entries.items():
            archive.writestr(zipfile.ZipInfo(name, date_time=_EPOCH), text.encode("utf-8"))
    return buffer.getvalue()


def _metadata(card: ModelCard) -> bytes:
    partial = onnx.ModelProto()
    onnx.helper.set_model_props(partial, {CARD_KEY: card.to_json()})
    content: bytes = partial.SerializeToString(deterministic=True)
    return content
