"""Errors of the exporter, as types.

::

    KerasModelError                     exit code 1   (FmxError, ValueError)
    ├── InvalidKerasFileError           missing file, no Keras model, or damaged
    ├── ModelCodeError                  the file contains code that would run
    ├── UnknownObjectError              a custom layer or function that Keras does not know
    ├── ModelNotBuiltError              the model has no input shape yet
    ├── MultipleInputsOutputsError      several inputs or outputs
    ├── NoImageInputError               the input is no gray or RGB image of a fixed size
    ├── OutputShapeError                the output is not one number for each of two or more classes
    ├── WeightsError                    a weight is NaN or infinite
    └── InputRangeError                 the input range is unknown
    CalibrationError                    1             (DataError)
    AccuracyControlError                3             (ExportError)

Each message is one line: what failed and on which file; expected and received; what to do.
"""

from __future__ import annotations

from fmx_runtime.errors import DataError, ExportError, FmxError

__all__ = [
    "AccuracyControlError",
    "CalibrationError",
    "InputRangeError",
    "InvalidKerasFileError",
    "KerasModelError",
    "ModelCodeError",
    "ModelNotBuiltError",
    "MultipleInputsOutputsError",
    "NoImageInputError",
    "OutputShapeError",
    "UnknownObjectError",
    "WeightsError",
]


class KerasModelError(FmxError, ValueError):
    """A Keras model cannot be exported."""


class InvalidKerasFileError(KerasModelError):
    """A file does not exist, is not a Keras model, or is damaged."""


class ModelCodeError(KerasModelError):
    """A file contains code that would run when it is loaded, and the user has not allowed it."""


class UnknownObjectError(KerasModelError):
    """A file uses a layer, model or function that is neither built into Keras nor registered."""


class ModelNotBuiltError(KerasModelError):
    """A model was saved before it was called on an input, so it has no input shape."""


class MultipleInputsOutputsError(KerasModelError):
    """A model has more than one input or output tensor."""


class NoImageInputError(KerasModelError):
    """A model's input is not a gray or RGB image of a fixed size with channels last."""


class OutputShapeError(KerasModelError):
    """A model's output is not ``(n, classes)`` with at least two classes."""


class WeightsError(KerasModelError):
    """A weight of a model is NaN or infinite."""


class InputRangeError(KerasModelError):
    """The input range is neither stated by the model nor inferable from labeled images."""


class CalibrationError(DataError):
    """There are no calibration images, or they do not fit the network's input."""


class AccuracyControlError(ExportError):
    """Some files lost too much accuracy and were not exported; the others were."""
