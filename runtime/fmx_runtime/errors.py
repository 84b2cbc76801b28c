"""What can go wrong, as types.

::

    FmxError                exit code 1
    ├── ModelFileError      3   (ValueError)   no model, a damaged one, or one without metadata
    ├── BackendError        3   (ImportError)  no interpreter for this model is installed
    ├── ImageError        1   (ValueError)   an image that cannot be read
    ├── DataError           1   (ValueError)   a data set, run or option that cannot be used
    ├── OutputError         1   (OSError)      results cannot be written
    └── ExportError         3   (RuntimeError) an exported file is not as good as it has to be

Each message is one line: what failed and on which file; expected and found; what to do.
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
]


class FmxError(Exception):
    """Any failure that fmx explains; ``exit_code`` is what its commands exit with."""

    exit_code = 1


class ModelFileError(FmxError, ValueError):
    """A model file is missing, damaged, or does not describe itself."""

    exit_code = 3


class BackendError(FmxError, ImportError):
    """The interpreter that a model file needs is not installed, or refuses the file."""

    exit_code = 3


class ImageError(FmxError, ValueError):
    """An image cannot be read."""


class DataError(FmxError, ValueError):
    """A data set, a training run or an option cannot be used."""


class OutputError(FmxError, OSError):
    """A result cannot be written; what stood there before is untouched."""


class ExportError(FmxError, RuntimeError):
    """A model cannot be converted, or the converted file does not answer as the model does."""

    exit_code = 3
