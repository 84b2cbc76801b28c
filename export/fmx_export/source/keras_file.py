"""Read the configuration of a saved Keras model, and find code and custom objects in it.

A model file is untrusted data: it names the classes and functions that it needs, and can contain
code. Keras' safe mode refuses most of that while it loads. This module searches for it before Keras
loads anything, in both file formats, so that the error message can name what was found.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import keras

from fmx_export.common.errors import InvalidKerasFileError
from fmx_runtime.support.error_summary import error_summary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["CustomObject", "find_code", "find_custom_objects", "read_config"]

_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
_SUFFIXES = {_ZIP: (".keras",), _HDF5: (".h5", ".hdf5")}
"""Keras distinguishes the two formats by the suffix alone, not by the content."""

_CODE_CLASSES = frozenset(
    {"__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}
)
"""Classes whose configuration holds Python bytecode, a pickle or the path of another program."""

_SAFE_MODULES = frozenset(
    {
        "activations",
        "constraints",
        "dtype_policies",
        "initializers",
        "layers",
        "losses",
        "metrics",
        "mixed_precision",
        "models",
        "ops",
        "optimizers",
        "quantizers",
        "random",
        "regularizers",
        "src",  # Keras itself accepts only layers and operations from its internal modules
    }
)
"""Modules of Keras that networks consist of; others read files, download, or change settings."""


@dataclass(frozen=True)
class CustomObject:
    """A class or function that a file needs and that is not part of Keras.

    Attributes:
        module: where it was defined; None in files that do not say.
        name: of the class or function.
        key: the name under which Keras looks it up among registered and custom objects.
    """

    module: str | None
    name: str
    key: str

    def __str__(self) -> str:
        """Return the full name, for messages."""
        return f"{self.module}.{self.name}" if self.module else self.name


def read_config(path: Path) -> Any:
    """Return the configuration of a saved model as parsed JSON, without its training settings.

    Args:
        path: a ``.keras`` archive, or a legacy HDF5 file.

    Raises:
        InvalidKerasFileError: the file does not exist, is not a Keras model, or is damaged.
    """
    magic = _read_magic(path)
    try:
        text = _config_from_archive(path) if magic == _ZIP else _config_from_hdf5(path)
        config = json.loads(text)
        config.pop("compile_config", None)  # a custom loss is harmless: the model is not compiled
    except InvalidKerasFileError:
        raise
    # damaged archives raise BadZipFile, OSError, KeyError, RecursionError and others
    except Exception as error:
        raise InvalidKerasFileError(
            f"'{path}' is not a readable Keras model: {error_summary(error)}"
        ) from error
    if path.suffix not in _SUFFIXES[magic]:
        raise InvalidKerasFileError(
            f"'{path}' is a Keras model, but its suffix does not fit its format: rename it to "
            f"'{path.stem}{_SUFFIXES[magic][0]}'"
        )
    return config


def find_code(config: Any) -> str | None:
    """Return a description of the first object that would run code, or None if there is none.

    Args:
        config: as `read_config` returned it.
    """
    for saved in _saved_objects(config):
        name, layer_config, module = saved["class_name"], saved.get("config"), saved.get("module")
        if name in _CODE_CLASSES:
            return "a Python lambda" if name == "__lambda__" else f"a {name} layer"
        if name == "Lambda" and not _refers_to_function(layer_config):
            return "a Lambda layer"
        root, _, rest = module.partition(".") if isinstance(module, str) else ("", "", "")
        if root == "keras" and rest and rest.partition(".")[0] not in _SAFE_MODULES:
            return f"{module}.{layer_config if name == 'function' else name}, which is not a layer"
    return None


def find_custom_objects(config: Any) -> list[CustomObject]:
    """Return the classes and functions that Keras does not know, in the order of the file.

    Those that ``keras.saving.register_keras_serializable`` registered in this process are known.

    Args:
        config: as `read_config` returned it.
    """
    found = {}
    for saved in _saved_objects(config):
        module = saved.get("module", "keras")  # legacy files name no modules: Keras reports them
        if module == "builtins" or (isinstance(module, str) and module.split(".")[0] == "keras"):
            continue
        name = saved["class_name"]
        key = saved.get("registered_name") or name
        if name == "function":
            key = str(saved.get("config"))
            name = key.rpartition(">")[2]
        if keras.saving.get_registered_object(key) is None:
            found[key] = CustomObject(module if isinstance(module, str) else None, name, key)
    return list(found.values())


def _read_magic(path: Path) -> bytes:
    """Return the first bytes of a file, which tell ZIP from HDF5."""
    if path.is_dir():
        raise InvalidKerasFileError(
            f"'{path}' is a folder, not a Keras model file; load the model where it was saved, and "
            "save it again with model.save('model.keras')"
        )
    try:
        with path.open("rb") as file:
            start = file.read(len(_HDF5))
    except FileNotFoundError as error:
        raise InvalidKerasFileError(f"'{path}' does not exist; give a .keras file") from error
    except OSError as error:
        raise InvalidKerasFileError(f"'{path}' cannot be read: {error.strerror}") from error
    if start == _HDF5:
        return _HDF5
    if not zipfile.is_zipfile(path):
        raise InvalidKerasFileError(
            f"'{path}' is not a Keras model, or is truncated: it is "
            + ("neither a ZIP archive nor an HDF5 file" if start else "empty")
        )
    return _ZIP


def _config_from_archive(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        if "config.json" not in archive.namelist():
            raise InvalidKerasFileError(
                f"'{path}' is not a readable Keras model: it is a ZIP archive without "
                "config.json; save the model with model.save('model.keras')"
            )
        return archive.read("config.json")


def _config_from_hdf5(path: Path) -> str | bytes:
    with h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise InvalidKerasFileError(
                f"'{path}' contains weights without a network; save the whole model with "
                "model.save('model.keras')"
            )
        config: str | bytes = file.attrs["model_config"]
        return config


def _saved_objects(config: Any) -> Iterator[dict[str, Any]]:
    """Yield each serialized Python object, at any depth, in the order of the file."""
    pending = [config]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if isinstance(value.get("class_name"), str):
                yield value
            pending.extend(reversed(value.values()))
        elif isinstance(value, list):
            pending.extend(reversed(value))


def _refers_to_function(config: Any) -> bool:
    """Return whether a Lambda layer calls a function by name; others contain its bytecode."""
    function = config.get("function") if isinstance(config, dict) else None
    return isinstance(function, dict) and function.get("class_name") == "function"
