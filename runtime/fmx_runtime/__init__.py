"""fmx-runtime: model file + picture -> label and score, on small computers.

>>> from fmx_runtime import Classifier
>>> Classifier("baseline.int8.tflite").classify("boot.png")  # doctest: +SKIP
"""

from __future__ import annotations

from fmx_runtime.card import ModelCard
from fmx_runtime.classifier import Classifier, Prediction
from fmx_runtime.errors import (
    BackendError,
    DataError,
    ExportError,
    FmxError,
    ModelFileError,
    OutputError,
    PictureError,
)

__all__ = [
    "BackendError",
    "Classifier",
    "DataError",
    "ExportError",
    "FmxError",
    "ModelCard",
    "ModelFileError",
    "OutputError",
    "PictureError",
    "Prediction",
]
