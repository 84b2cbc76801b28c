"""fmx-runtime: classify images on small computers with the model files of ``fmx export``.

>>> from fmx_runtime import Classifier
>>> Classifier("baseline.int8.tflite").classify("boot.png")  # doctest: +SKIP

Public names are imported on first use, so that ``fmx-run --help`` and the exceptions need neither
NumPy nor Pillow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fmx_runtime.classifier import Classifier, Prediction
    from fmx_runtime.command.parallel import classify_stream
    from fmx_runtime.errors import (
        BackendError,
        DataError,
        ExportError,
        FmxError,
        ImageError,
        ModelFileError,
        OutputError,
        PredictionError,
    )
    from fmx_runtime.model_file.metadata import ModelMetadata

__all__ = [
    "BackendError",
    "Classifier",
    "DataError",
    "ExportError",
    "FmxError",
    "ImageError",
    "ModelFileError",
    "ModelMetadata",
    "OutputError",
    "Prediction",
    "PredictionError",
    "classify_stream",
]

# the module of each public name that is not in `errors`
_MODULES = {
    "Classifier": "classifier",
    "ModelMetadata": "model_file.metadata",
    "Prediction": "classifier",
    "classify_stream": "command.parallel",
}


def __getattr__(name: str) -> Any:
    """Import a public name from the module that defines it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)
