"""fmx-runtime: model file + picture -> label and score, on small computers.

>>> from fmx_runtime import Classifier
>>> Classifier("baseline.int8.tflite").classify("boot.png")  # doctest: +SKIP

The names below are imported when they are first asked for: ``--help`` needs neither numpy nor
Pillow, and an error can be caught without them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_HOMES = {"Classifier": "classifier", "ModelCard": "card", "Prediction": "classifier"}


def __getattr__(name: str) -> Any:
    """Import a public name from the module that defines it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
