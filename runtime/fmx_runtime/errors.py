"""The exceptions that fmx raises.

::

    FmxError                exit code 1
    ├── ModelFileError      3   (ValueError)   a file is missing, damaged or not a model
    ├── BackendError        3   (ImportError)  no interpreter for the model is installed
    ├── ImageError          1   (ValueError)   an image cannot be read
    ├── PredictionError     1   (ValueError)   a model's scores are not finite numbers
    ├── DataError           1   (ValueError)   a data set, run or option cannot be used
    ├── OutputError         1   (OSError)      a result cannot be written
    └── ExportError         3   (RuntimeError) a model cannot be converted correctly

Each message is one line: what failed and on which file, what was expected and found, and what to
do.
"""

from __future__ import annotations

__all__ = [
    "BackendError",
    "DataError",
    "ExportError",
    "FmxError",
    "ImageError",
    "ModelFileError",
    "OutputError",
    "PredictionError",
]


class FmxError(Exception):
    """Base class of all fmx errors; ``exit_code`` is the exit code of the commands."""

    exit_code = 1


class ModelFileError(FmxError, ValueError):
    """A model file is missing, is damaged, is not a model, or has no metadata."""

    exit_code = 3


class BackendError(FmxError, ImportError):
    """The interpreter for a model file is not installed, or cannot be loaded."""

    exit_code = 3


class ImageError(FmxError, ValueError):
    """An image cannot be read."""


class PredictionError(FmxError, ValueError):
    """The scores of a model for an image are not finite numbers."""


class DataError(FmxError, ValueError):
    """A data set, a training run or an option cannot be used."""


class OutputError(FmxError, OSError):
    """A result cannot be written; an earlier file in its place is unchanged."""


class ExportError(FmxError, RuntimeError):
    """A model cannot be converted, or the exported file is less accurate than allowed."""

    exit_code = 3
