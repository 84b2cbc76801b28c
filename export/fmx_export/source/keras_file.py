"""What a saved Keras model says of itself, read before Keras makes anything of it.

A model file is data from strangers: it names the classes and functions that it is made of, and
may bring code along. Keras' own safe mode refuses most of that while it loads; here it is looked
for first, in both formats, so that the refusal names what was found.
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

__all__ = ["Named", "code_in", "custom_in", "read_config"]

_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
_SUFFIXES = {_ZIP: (".keras",), _HDF5: (".h5", ".hdf5")}
"""Keras goes by the name's ending, whatever is in the file."""

_RUNS_CODE = frozenset({"__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"})
"""Classes whose settings hold Python bytecode, a pickle, or the path of another program."""

_BUILDING_BLOCKS = frozenset(
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
        "src",  # names inside Keras, of which it accepts layers and operations only
    }
)
"""Modules of Keras that networks are made of; the others read files, fetch, or change settings."""


@dataclass(frozen=True)
class Named:
    """A class or function that a file asks for and that is not Keras' own."""

    module: str | None
    """Where it was defined; None in files that do not say."""
    name: str
    key: str
    """What Keras looks it up by among registered and custom objects."""

    def __str__(self) -> str:
        """The name in full, for messages."""
        return f"{self.module}.{self.name}" if self.module else self.name


def read_config(path: Path) -> Any:
    """The settings of a saved model, as JSON gives them; how it was trained is left out.

    Args:
        path: a ``.keras`` archive, or a legacy HDF5 file.

    Raises:
        InvalidKerasFileError: there is no such file, it is no Keras model, or a damaged one.
    """
    magic = _magic(path)
    try:
        text = _config_of_archive(path) if magic == _ZIP else _config_of_hdf5(path)
        config = json.loads(text)
        config.pop("compile_config", None)  # its loss may well be a function of the user's own
    except InvalidKerasFileError:
        raise
    # damaged archives raise BadZipFile, OSError, KeyError, RecursionError and others
    except Exception as error:
        raise InvalidKerasFileError(
            f"'{path}' is no Keras model that can be read: {error_summary(error)}"
        ) from error
    if path.suffix not in _SUFFIXES[magic]:
        raise InvalidKerasFileError(
            f"'{path}' is a Keras model, but Keras goes by the ending of its name: rename it to "
            f"'{path.stem}{_SUFFIXES[magic][0]}'"
        )
    return config


def code_in(config: Any) -> str | None:
    """The first thing in a model's settings that would run code, in words; None where none is.

    Args:
        config: as `read_config` gave it.
    """
    for saved in _saved_objects(config):
        name, settings, module = saved["class_name"], saved.get("config"), saved.get("module")
        if name in _RUNS_CODE:
            return "a Python lambda" if name == "__lambda__" else f"a {name} layer"
        if name == "Lambda" and not _calls_by_name(settings):
            return "a Lambda layer"
        root, _, rest = module.partition(".") if isinstance(module, str) else ("", "", "")
        if root == "keras" and rest and rest.partition(".")[0] not in _BUILDING_BLOCKS:
            return f"{module}.{settings if name == 'function' else name}, which is no layer"
    return None


def custom_in(config: Any) -> list[Named]:
    """Classes and functions in a model's settings that Keras does not know, in their order.

    What was registered in this process with ``keras.saving.register_keras_serializable`` is known.

    Args:
        config: as `read_config` gave it.
    """
    found = {}
    for saved in _saved_objects(config):
        module = saved.get("module", "keras")  # legacy files name no module: Keras finds out
        if module == "builtins" or (isinstance(module, str) and module.split(".")[0] == "keras"):
            continue
        name = saved["class_name"]
        key = saved.get("registered_name") or name
        if name == "function":
            key = str(saved.get("config"))
            name = key.rpartition(">")[2]
        if keras.saving.get_registered_object(key) is None:
            found[key] = Named(module if isinstance(module, str) else None, name, key)
    return list(found.values())


def _magic(path: Path) -> bytes:
    """The first bytes of a file, if they are those of a format that Keras reads."""
    if path.is_dir():
        raise InvalidKerasFileError(
            f"'{path}' is a folder, not a Keras model file; load it where it was made, and save it "
            "with model.save('model.keras')"
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
            f"'{path}' is no Keras model, or was cut short: it is "
            + ("no ZIP archive, and no HDF5 file" if start else "empty")
        )
    return _ZIP


def _config_of_archive(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        if "config.json" not in archive.namelist():
            raise InvalidKerasFileError(
                f"'{path}' is no Keras model that can be read: it is a ZIP archive without "
                "config.json; save the model with model.save('model.keras')"
            )
        return archive.read("config.json")


def _config_of_hdf5(path: Path) -> str | bytes:
    with h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise InvalidKerasFileError(
                f"'{path}' holds weights without a network; save the whole model with "
                "model.save('model.keras')"
            )
        config: str | bytes = file.attrs["model_config"]
        return config


def _saved_objects(config: Any) -> Iterator[dict[str, Any]]:
    """Each JSON object that stands for a Python one, at any depth."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("class_name"), str):
                yield value
            waiting.extend(reversed(value.values()))
        elif isinstance(value, list):
            waiting.extend(reversed(value))


def _calls_by_name(settings: Any) -> bool:
    """Whether a Lambda layer calls a function that it names, rather than one that it contains."""
    function = settings.get("function") if isinstance(settings, dict) else None
    return isinstance(function, dict) and function.get("class_name") == "function"
