"""What is wrong with what is to be exported, or with what came of it, as types.

::

    KerasModelError          exit code 1   (FmxError, ValueError)
    ├── InvalidKerasFileError        no Keras model file, or a damaged one
    ├── ModelCodeError       would run code that came with the file
    ├── UnknownObjectError   names a layer or function that Keras does not know
    ├── ModelNotBuiltError        has no input shape yet
    ├── MultipleInputsOutputsError     has several inputs or outputs
    ├── NoImageInputError  its input is no gray or RGB image of a fixed size
    ├── OutputShapeError     its output is not one number for each of two or more classes
    ├── WeightsError         a weight is NaN or infinite
    └── InputRangeError      nothing tells what a pixel means to it
    CalibrationError         1             (DataError) no calibration images, or of another size
    AccuracyControlError             3             (ExportError) some files were not good enough

Each message is one line: what failed and on which file; expected and found; what to do.
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
    """A Keras model cannot be exported as it is."""


class InvalidKerasFileError(KerasModelError):
    """A file is missing, is no Keras model, or is damaged."""


class ModelCodeError(KerasModelError):
    """A file would run code when it is loaded, and nobody vouched for it."""


class UnknownObjectError(KerasModelError):
    """A layer, model or function that a file names is neither Keras' own nor registered."""


class ModelNotBuiltError(KerasModelError):
    """A model was saved before it had seen an input."""


class MultipleInputsOutputsError(KerasModelError):
    """A model takes or gives more than one tensor."""


class NoImageInputError(KerasModelError):
    """A model's input is no gray or RGB image of a fixed size, channels last."""


class OutputShapeError(KerasModelError):
    """A model's output is not ``(n, classes)`` with two classes or more."""


class WeightsError(KerasModelError):
    """A weight of a model is NaN or infinite."""


class InputRangeError(KerasModelError):
    """Neither the model nor labeled images tell which range its pixels have."""


class CalibrationError(DataError):
    """There are no calibration images, or they do not fit the network."""


class AccuracyControlError(ExportError):
    """Some files of an export were not good enough; the others are published."""
