"""Untrusted model files: each is really built, and would create a file if its code ran."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import keras
import pytest
from keras import layers

from fmx_export.common.errors import InvalidKerasFileError, ModelCodeError, UnknownObjectError
from fmx_export.source.keras_file import find_code, find_custom_objects, read_config
from fmx_export.source.keras_model import load_model

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A harmless classifier, saved to a file."""
    network = [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(3, activation="softmax")]
    path = tmp_path / "model.keras"
    keras.Sequential(network).save(path)
    return path


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that code in a model would create."""
    return tmp_path / "mark"


def change(path: Path, edit: Callable[[list[dict[str, Any]]], None]) -> Path:
    """Edit the layers in a saved model's configuration."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(entries["config.json"])
    edit(config["config"]["layers"])
    entries["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def function(module: str, name: str) -> dict[str, Any]:
    """Return a function as a model's configuration has it."""
    return {"class_name": "function", "module": module, "config": name, "registered_name": name}


def layer(module: str | None, name: str, /, **config: Any) -> dict[str, Any]:
    """Return a layer as a model's configuration has it."""
    return {"class_name": name, "module": module, "config": config, "registered_name": name}


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_lambdas_do_not_run(suffix: str, mark: Path, tmp_path: Path) -> None:
    """A Lambda's bytecode is refused in both formats, and runs only with ``allow_code``."""
    where = str(mark)
    touch_file = layers.Lambda(lambda image: (__import__("pathlib").Path(where).touch(), image)[1])
    network = [keras.Input((8, 8, 1)), touch_file, layers.Flatten(), layers.Dense(3)]
    path = tmp_path / f"model{suffix}"
    keras.Sequential(network).save(path)
    mark.unlink()
    with pytest.raises(ModelCodeError, match=r"it contains a (Lambda layer|Python lambda); if you"):
        load_model(path)
    assert not mark.exists()
    load_model(path, allow_code=True)
    assert mark.exists()


@pytest.mark.parametrize(
    ("hostile", "found"),
    [
        (layer("keras.layers", "Lambda", function=function("keras.utils", "get_file")), "get_file"),
        (layer("keras.layers", "Activation", activation=function("keras.utils", "x")), "utils.x"),
        (layer("keras.config", "enable_unsafe_deserialization"), "enable_unsafe"),
        (layer("keras.saving", "load_model"), "keras.saving.load_model"),
        (layer("keras.layers", "TFSMLayer", filepath="/tmp/x"), "a TFSMLayer layer"),  # noqa: S108
        (layer("keras.layers", "TorchModuleWrapper", module="gASV"), "a TorchModuleWrapper"),
        (layer("keras.layers", "Lambda", function=["4wAAAA==", None, None]), "a Lambda layer"),
        (layer("keras.layers", "Dense", a=[{"b": layer(None, "__lambda__", code="")}]), "a Python"),
    ],
)
def test_code_is_found_in_the_configuration(
    hostile: dict[str, Any], found: str, saved: Path
) -> None:
    """Objects that would run code, read files or download are found at any depth and named."""
    change(saved, lambda entries: entries.insert(1, hostile))
    assert found in (find_code(read_config(saved)) or "")
    with pytest.raises(ModelCodeError, match="would run code"):
        load_model(saved)


@pytest.mark.parametrize(
    "hostile",
    [
        lambda mark: layer("os", "system", command=f"touch {mark}"),
        lambda mark: layer(
            "keras.layers", "Lambda", function=function("os", "mkdir"), arguments={"path": mark}
        ),
        lambda _: layer("leaves_a_mark", "Layer"),
        lambda _: layer("keras.layers", "Activation", activation=function("leaves_a_mark", "f")),
    ],
    ids=["class of os", "function of os", "class", "function"],
)
def test_modules_are_not_imported(
    hostile: Callable[[str], dict[str, Any]],
    saved: Path,
    mark: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A module that a file names is neither imported nor called, even if it is importable."""
    module = saved.with_name("leaves_a_mark.py")
    module.write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n", "utf-8")
    monkeypatch.syspath_prepend(str(module.parent))
    change(saved, lambda entries: entries.insert(1, hostile(str(mark))))
    with pytest.raises(UnknownObjectError, match="which is not part of Keras; if you trust"):
        load_model(saved)
    assert not mark.exists()
    assert "leaves_a_mark" not in sys.modules


def test_legacy_files_call_nothing(saved: Path, mark: Path) -> None:
    """A class of another library is unknown in an HDF5 file, which names no modules."""
    path = saved.with_suffix(".h5")
    keras.models.load_model(saved).save(path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        hostile = {"class_name": "os.system", "config": {"command": f"touch {mark}"}}
        config["config"]["layers"].insert(1, hostile)
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(UnknownObjectError, match=r"needs os\.system, which is not part of Keras"):
        load_model(path)
    assert not mark.exists()


def test_ordinary_models_contain_no_code(case: Any, tmp_path: Path) -> None:
    """Ordinary networks, saved by Keras, only contain parts of Keras."""
    path = tmp_path / "model.keras"
    case.model.save(path)
    config = read_config(path)
    assert find_code(config) is None
    assert not find_custom_objects(config)


def test_wrong_suffixes_are_refused(saved: Path) -> None:
    """If a suffix does not fit the format, the error has the right file name."""
    legacy = saved.with_name("legacy.keras")
    keras.models.load_model(saved).save(saved.with_suffix(".h5"))
    saved.with_suffix(".h5").rename(legacy)
    other = saved.rename(saved.with_name("model.zip"))
    with pytest.raises(
        InvalidKerasFileError, match=r"does not fit its format: rename it to 'legacy\.h5'"
    ):
        read_config(legacy)
    with pytest.raises(
        InvalidKerasFileError, match=r"does not fit its format: rename it to 'model\.keras'"
    ):
        read_config(other)


def _zip_of(path: Path, entries: dict[str, str]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b""), "or is truncated: it is empty"),
        (
            lambda path: path.write_text("hello", "utf-8"),
            "it is neither a ZIP archive nor an HDF5 file",
        ),
        (lambda path: path.write_bytes(Path(__file__).read_bytes()), "it is neither a ZIP archive"),
        (lambda path: path.mkdir(), "is a folder, not a Keras model file"),
        (lambda _: None, "does not exist"),
        (lambda path: _zip_of(path, {"word.xml": "<x/>"}), "a ZIP archive without config.json"),
        (lambda path: _zip_of(path, {"config.json": "{"}), "not a readable Keras model"),
        (lambda path: _zip_of(path, {"config.json": "[" * 99999}), "not a readable Keras model"),
        (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"), "not a readable Keras model"),
    ],
    ids=["empty", "text", "code", "folder", "missing", "zip", "no JSON", "deep JSON", "HDF5"],
)
def test_other_files_are_refused(
    make: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    """Any other file is refused in one line with its name."""
    path = tmp_path / "model.keras"
    make(path)
    with pytest.raises(InvalidKerasFileError, match=message) as caught:
        load_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_only_files_are_refused(tmp_path: Path) -> None:
    """A legacy file with weights only is refused, and the error says what to save instead."""
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        file["kernel"] = [1.0]
    with pytest.raises(
        InvalidKerasFileError, match="contains weights without a network; save the whole"
    ):
        load_model(path)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(InvalidKerasFileError, match="is not a readable Keras model"):
        load_model(path)
