"""Which model is meant where none is named."""

from __future__ import annotations

import os
from glob import glob

from fmx_runtime.errors import ModelFileError

__all__ = ["default_model"]

_PLACES = ("*.int8.tflite", "exports/*/*.int8.tflite")


def default_model() -> str:
    """What $FMX_MODEL says, or else the newest int8 TFLite file here or in ``exports/*/``.

    Raises:
        ModelFileError: there is none.
    """
    if named := os.environ.get("FMX_MODEL"):
        return named
    # not by pathlib, which takes as long to import as all the rest of a command's start
    found = [path for place in _PLACES for path in glob(place) if os.path.isfile(path)]  # noqa: PTH113, PTH207
    if not found:
        raise ModelFileError(
            "no model: give one with --model FILE or $FMX_MODEL, "
            f"or run where there is a {' or '.join(_PLACES)}"
        )
    return max(found, key=lambda path: os.stat(path).st_mtime)  # noqa: PTH116
