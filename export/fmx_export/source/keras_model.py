"""Load a Keras model from a file, and check that it is an image classifier."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from fmx_export.common.errors import (
    InvalidKerasFileError,
    ModelCodeError,
    ModelNotBuiltError,
    MultipleInputsOutputsError,
    NoImageInputError,
    OutputShapeError,
    UnknownObjectError,
    WeightsError,
)
from fmx_export.source.keras_file import find_code, find_custom_objects, read_config
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_export.source.keras_file import CustomObject

__all__ = ["check_model", "load_model"]

_IMAGE_AXES = 4
"""Axes of a batch of images: n, height, width, channels."""
_UNKNOWN_CLASS = re.compile(r"Unknown \w+: '(?P<name>[^']+)'")
"""Keras' message about an unknown class in a legacy file, which names no modules."""


def load_model(path: Path, *, allow_code: bool = False) -> Any:
    """Load a saved Keras model without running code from the file.

    Args:
        path: a ``.keras`` archive, or a legacy ``.h5`` file.
        allow_code: trust the file: run its lambdas, and import the modules of its custom classes
            from ``sys.path``. Classes that are already registered are always used.

    Returns:
        The Keras model, not compiled.

    Raises:
        InvalidKerasFileError: the file is not a Keras model, or is damaged.
        ModelCodeError: it contains code, and ``allow_code`` is False.
        UnknownObjectError: it uses a layer or function that is unknown or cannot be imported.
    """
    config = read_config(path)
    code = None if allow_code else find_code(config)
    if code:
        raise ModelCodeError(
            f"'{path}' would run code when it is loaded: it contains {code}; "
            "if you trust its author, add --allow-code"
        )
    custom = find_custom_objects(config)
    if custom and not allow_code:
        raise UnknownObjectError(
            f"'{path}' needs {custom[0]}, which is not part of Keras; if you trust that module, "
            "add its folder to PYTHONPATH and add --allow-code, or, in Python, register it with "
            "@keras.saving.register_keras_serializable() and import it before"
        )
    imported = {item.key: _import(item, path) for item in custom}
    try:
        return keras.models.load_model(
            path, custom_objects=imported, compile=False, safe_mode=not allow_code
        )
    # damaged archives, settings and weights raise BadZipFile, KeyError, TypeError and others
    except Exception as error:
        unknown = _UNKNOWN_CLASS.search(str(error))
        if unknown:
            raise UnknownObjectError(
                f"'{path}' needs {unknown['name']}, which is not part of Keras; load the model "
                "where that is defined, and save it with model.save('model.keras')"
            ) from error
        raise InvalidKerasFileError(
            f"'{path}' is not a readable Keras model: {error_summary(error)}"
        ) from error


def check_model(model: Any, path: Path) -> Any:
    """Check that a model is an image classifier with one input and one output.

    Args:
        model: Keras model: Sequential, functional or subclassed.
        path: file of the model, for messages.

    Returns:
        The same model, ``(n, height, width, channels)`` -> ``(n, classes)``, with all sizes but n
        fixed. A subclassed model, which does not know its shapes, becomes the only layer of a
        functional one.

    Raises:
        ModelNotBuiltError: it has no input shape yet.
        MultipleInputsOutputsError: it has several inputs or outputs.
        NoImageInputError: its input is not an image of a fixed size.
        OutputShapeError: its output is not one number for each class.
        WeightsError: a weight is NaN or infinite.
    """
    network = _with_one_input_and_output(model, path)
    _check_input(network.input_shape, path)
    _check_output(network.output_shape, path)
    _check_weights(network, path)
    return network


def _import(custom: CustomObject, path: Path) -> Any:
    """Import a class or function whose module the user trusts."""
    if custom.module in {None, "__main__"}:
        raise UnknownObjectError(
            f"'{path}' needs {custom.name}, which was defined in the script that saved the model; "
            "move it into a separate module, and save the model again"
        )
    try:
        return getattr(importlib.import_module(str(custom.module)), custom.name)
    # a module that is imported may raise anything
    except Exception as error:
        raise UnknownObjectError(
            f"'{path}' needs {custom}, which cannot be imported: {error_summary(error)}; "
            "add the folder of its module to PYTHONPATH"
        ) from error


def _with_one_input_and_output(model: Any, path: Path) -> Any:
    """Return the model with exactly one input and one output tensor of known shapes."""
    if not getattr(model, "inputs", None):
        model = _to_functional(model, path)
    counts = len(model.inputs), len(model.outputs)
    if counts != (1, 1):
        raise MultipleInputsOutputsError(
            f"'{path}' has {counts[0]} inputs and {counts[1]} outputs; an image classifier has one "
            "of each: extract it from a larger network with keras.Model(one_input, one_output)"
        )
    if isinstance(model, keras.Sequential):
        return model
    if all(isinstance(end, keras.KerasTensor) for end in (model.input, model.output)):
        return model
    return keras.Model(model.inputs[0], model.outputs[0])  # out of a list or a dictionary


def _to_functional(model: Any, path: Path) -> Any:
    """Return a functional model whose only layer is the subclassed one."""
    shape = (model.get_build_config() or {}).get("input_shape")
    if not model.built or not shape:
        raise ModelNotBuiltError(
            f"'{path}' was saved before it was built; call the model once, such as "
            "model(numpy.zeros((1, 28, 28, 1))), and save it again"
        )
    if not all(size is None or isinstance(size, int) for size in shape):
        raise MultipleInputsOutputsError(
            f"'{path}' takes {len(shape)} inputs, of shapes {shape}; an image classifier takes one"
        )
    image = keras.Input(tuple(shape[1:]), name="image")
    try:
        return keras.Model(image, model(image, training=False))
    # the model's own code may raise anything
    except Exception as error:
        raise ModelNotBuiltError(
            f"'{path}' cannot be called on an image of shape {tuple(shape[1:])}: "
            f"{error_summary(error)}"
        ) from error


def _check_input(shape: tuple[int | None, ...], path: Path) -> None:
    found = f"'{path}' has an input of shape {shape}"
    if len(shape) == _IMAGE_AXES - 1:
        height, width = shape[1:]
        raise NoImageInputError(
            f"{found}, without channels; save keras.Sequential([keras.Input(({height}, {width}, "
            f"1)), keras.layers.Reshape(({height}, {width})), model]) instead"
        )
    if len(shape) != _IMAGE_AXES:
        raise NoImageInputError(f"{found}; an image classifier has (n, height, width, channels)")
    if shape[3] not in {1, 3}:
        channels_first = shape[1] in {1, 3}
        raise NoImageInputError(
            f"{found}; "
            + (
                "images must have their channels last: put a keras.layers.Permute((3, 1, 2)) "
                "before it"
                if channels_first
                else "images have 1 channel (gray) or 3 (RGB) as the last axis"
            )
        )
    if None in shape[1:]:
        raise NoImageInputError(
            f"{found}, with variable height or width; fix them: image = keras.Input((224, 224, "
            f"{shape[3]})), and save keras.Model(image, model(image))"
        )


def _check_output(shape: tuple[int | None, ...], path: Path) -> None:
    match shape:
        case (_, int(classes)) if classes > 1:
            return
        case (_, 1):
            remedy = "for two classes end it with Dense(2, activation='softmax')"
        case (_, _, _, _):
            remedy = "end it with GlobalAveragePooling2D() and Dense(classes)"
        case _:
            remedy = "end it with Dense(classes)"
    raise OutputShapeError(
        f"'{path}' has an output of shape {shape}; an image classifier has (n, classes): {remedy}"
    )


def _check_weights(model: Any, path: Path) -> None:
    for variable in model.weights:
        values = np.asarray(variable)
        broken = values.size - np.count_nonzero(np.isfinite(values))
        if broken:
            layer, _, name = variable.path.rpartition("/")
            raise WeightsError(
                f"'{path}': {broken:,} of {values.size:,} values of '{name}' in layer '{layer}' "
                "are NaN or infinite; train the model again with a smaller learning rate"
            )
