"""Choose the model file to use where none is named."""

from __future__ import annotations

import os
from glob import glob

__all__ = ["SHIPPED", "default_model"]

_PATTERNS = ("*.int8.tflite", "exports/*/*.int8.tflite")

# os.path, because importing pathlib takes as long as the rest of a command's start
SHIPPED = os.path.join(os.path.dirname(os.path.dirname(__file__)), "models", "edge.int8.tflite")  # noqa: PTH118, PTH120
"""The model that comes with this package; its ten classes are kinds of clothes."""


def default_model() -> str:
    """Return the path of the model file to use.

    It is ``$FMX_MODEL``, or else the newest int8 TFLite file in the current folder or in
    ``exports/*/``, or else `SHIPPED`.
    """
    if from_environment := os.environ.get("FMX_MODEL"):
        return from_environment
    matches = [path for pattern in _PATTERNS for path in glob(pattern) if os.path.isfile(path)]  # noqa: PTH113, PTH207
    return max(matches, key=lambda path: os.stat(path).st_mtime) if matches else SHIPPED  # noqa: PTH116
