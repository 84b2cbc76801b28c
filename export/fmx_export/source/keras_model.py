"""A Keras model out of a file, and whether it is an image classifier that can be exported."""

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
from fmx_export.source.keras_file import code_in, custom_in, read_config
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_export.source.keras_file import Named

__all__ = ["check_model", "load_model"]

_IMAGE_AXES = 4
_UNKNOWN = re.compile(r"Unknown \w+: '(?P<name>[^']+)'")
"""What Keras says of a class in a legacy file, which names no modules."""


def load_model(path: Path, *, allow_code: bool = False) -> Any:
    """Load a saved Keras model; code that came with it, or that it asks for, does not run.

    Args:
        path: a ``.keras`` archive, or a legacy ``.h5`` file.
        allow_code: trust the file: its lambdas run, and the modules of its custom classes are
            imported from ``sys.path``. Classes that are registered already need no trust.

    Returns:
        The Keras model, not compiled.

    Raises:
        InvalidKerasFileError: no Keras model, or a damaged one.
        ModelCodeError: it would run code.
        UnknownObjectError: it names a layer or function that is not known or cannot be imported.
    """
    config = read_config(path)
    code = None if allow_code else code_in(config)
    if code:
        raise ModelCodeError(
            f"'{path}' would run code when it is loaded: it has {code}; "
            "if you trust its author, add --allow-code"
        )
    custom = custom_in(config)
    if custom and not allow_code:
        raise UnknownObjectError(
            f"'{path}' needs {custom[0]}, which is not Keras' own; register it with "
            "@keras.saving.register_keras_serializable() and import its module before, or, if you "
            "trust that module, put its folder into PYTHONPATH and add --allow-code"
        )
    imported = {named.key: _import(named, path) for named in custom}
    try:
        return keras.models.load_model(
            path, custom_objects=imported, compile=False, safe_mode=not allow_code
        )
    # damaged archives, settings and weights raise BadZipFile, KeyError, TypeError and others
    except Exception as error:
        unknown = _UNKNOWN.search(str(error))
        if unknown:
            raise UnknownObjectError(
                f"'{path}' needs {unknown['name']}, which is not Keras' own; load it where that "
                "is defined, and save it with model.save('model.keras')"
            ) from error
        raise InvalidKerasFileError(
            f"'{path}' is no Keras model that can be read: {error_summary(error)}"
        ) from error


def check_model(model: Any, path: Path) -> Any:
    """Make sure that a model is an image classifier with one input and one output.

    Args:
        model: Keras model: Sequential, functional or subclassed.
        path: where it came from, for messages.

    Returns:
        The same model; a subclassed one, which does not know its own shapes, as the only layer of
        a functional one. ``(n, height, width, channels)`` -> ``(n, classes)``, all sizes but n
        fixed.

    Raises:
        ModelNotBuiltError: it has no input shape yet.
        MultipleInputsOutputsError: it has several inputs or outputs.
        NoImageInputError: its input is no image of a fixed size.
        OutputShapeError: its output is no row of classes.
        WeightsError: a weight is NaN or infinite.
    """
    network = _with_known_ends(model, path)
    _check_input(network.input_shape, path)
    _check_output(network.output_shape, path)
    _check_weights(network, path)
    return network


def _import(named: Named, path: Path) -> Any:
    """A class or function that the user vouched for."""
    if named.module in {None, "__main__"}:
        raise UnknownObjectError(
            f"'{path}' needs {named.name}, which was defined in the script that saved it; move it "
            "into a module of its own, and save the model again"
        )
    try:
        return getattr(importlib.import_module(str(named.module)), named.name)
    # a module that is imported may raise anything
    except Exception as error:
        raise UnknownObjectError(
            f"'{path}' needs {named}, which cannot be imported: {error_summary(error)}; "
            "put the folder of its module into PYTHONPATH"
        ) from error


def _with_known_ends(model: Any, path: Path) -> Any:
    """The model with exactly one input and one output tensor, whose shapes it knows."""
    if not getattr(model, "inputs", None):
        model = _wrapped(model, path)
    counts = len(model.inputs), len(model.outputs)
    if counts != (1, 1):
        raise MultipleInputsOutputsError(
            f"'{path}' has {counts[0]} inputs and {counts[1]} outputs; an image classifier has one "
            "of each: keras.Model(one_input, one_output) cuts it out of a larger network"
        )
    if isinstance(model, keras.Sequential):
        return model
    if all(isinstance(end, keras.KerasTensor) for end in (model.input, model.output)):
        return model
    return keras.Model(model.inputs[0], model.outputs[0])  # they stood in a list or a dictionary


def _wrapped(model: Any, path: Path) -> Any:
    """A subclassed model as the layer of a functional one."""
    shape = (model.get_build_config() or {}).get("input_shape")
    if not model.built or not shape:
        raise ModelNotBuiltError(
            f"'{path}' was saved before it had seen an image; call it once on one, such as "
            "model(numpy.zeros((1, 28, 28, 1))), and save it again"
        )
    if not all(size is None or isinstance(size, int) for size in shape):
        raise MultipleInputsOutputsError(
            f"'{path}' takes {len(shape)} inputs, of shapes {shape}; an image classifier takes one"
        )
    image = keras.Input(tuple(shape[1:]), name="image")
    try:
        return keras.Model(image, model(image, training=False))
    # whatever the model's own code raises
    except Exception as error:
        raise ModelNotBuiltError(
            f"'{path}' cannot be called on an image of shape {tuple(shape[1:])}: {error_summary(error)}"
        ) from error


def _check_input(shape: tuple[int | None, ...], path: Path) -> None:
    found = f"'{path}' takes input of shape {shape}"
    if len(shape) == _IMAGE_AXES - 1:
        height, width = shape[1:]
        raise NoImageInputError(
            f"{found}, without channels; save keras.Sequential([keras.Input(({height}, {width}, "
            f"1)), keras.layers.Reshape(({height}, {width})), model]) instead"
        )
    if len(shape) != _IMAGE_AXES:
        raise NoImageInputError(f"{found}; an image classifier takes (n, height, width, channels)")
    if shape[3] not in {1, 3}:
        channels_first = shape[1] in {1, 3}
        raise NoImageInputError(
            f"{found}; "
            + (
                "put a keras.layers.Permute((3, 1, 2)) before it, as images have their channels "
                "last here"
                if channels_first
                else "images have 1 channel (gray) or 3 (RGB), in the last place"
            )
        )
    if None in shape[1:]:
        raise NoImageInputError(
            f"{found}, of any height and width; fix them: image = keras.Input((224, 224, "
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
        f"'{path}' gives output of shape {shape}; an image classifier gives (n, classes): {remedy}"
    )


def _check_weights(model: Any, path: Path) -> None:
    for variable in model.weights:
        values = np.asarray(variable)
        broken = values.size - np.count_nonzero(np.isfinite(values))
        if broken:
            layer, _, name = variable.path.rpartition("/")
            raise WeightsError(
                f"'{path}': {broken:,} of {values.size:,} values of '{name}' in layer '{layer}' "
                "are NaN or infinite; its training went wrong: train again, more slowly"
            )
