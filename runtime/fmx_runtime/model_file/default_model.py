"""Which model is meant where none is named."""

from __future__ import annotations

import os
from glob import glob

__all__ = ["SHIPPED", "default_model"]

_PLACES = ("*.int8.tflite", "exports/*/*.int8.tflite")

# not by pathlib, which takes as long to import as all the rest of a command's start
SHIPPED = os.path.join(os.path.dirname(os.path.dirname(__file__)), "models", "edge.int8.tflite")  # noqa: PTH118, PTH120
"""The model that comes with this package: ten kinds of clothes."""


def default_model() -> str:
    """$FMX_MODEL, else the newest int8 TFLite file here or in ``exports/*/``, else `SHIPPED`."""
    if named := os.environ.get("FMX_MODEL"):
        return named
    found = [path for place in _PLACES for path in glob(place) if os.path.isfile(path)]  # noqa: PTH113, PTH207
    return max(found, key=lambda path: os.stat(path).st_mtime) if found else SHIPPED  # noqa: PTH116
