from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fmx_runtime import Classifier
from fmx_runtime.errors import ModelFileError
from fmx_runtime.model_file.describe import describe_model_file

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"])
def test_an_exported_file(name: str, exported: Path) -> None:
    """The description has the classifier's metadata and interpreter, and no problem."""
    path = exported / f"baseline.{name}"
    found = describe_model_file(str(path))
    classifier = Classifier(path)
    assert (found.path, found.size_bytes) == (str(path), path.stat().st_size)
    assert found.format == name.partition(".")[2]
    assert found.metadata == classifier.metadata
    assert found.interpreter == classifier.backend
    assert (found.problem, found.install_hint) == (None, None)


def test_an_interpreter_that_is_not_installed(exported: Path) -> None:
    """The hint says how to install the interpreter that was asked for."""
    path = str(exported / "baseline.int8.tflite")
    found = describe_model_file(path, backend="tflite-runtime")
    assert found.interpreter is None
    assert "tflite-runtime" in (found.install_hint or "")
    assert describe_model_file(path, backend="ai-edge-litert").install_hint is None


def test_a_changed_model_is_described(exported: Path, tmp_path: Path) -> None:
    """A model whose checksum differs is described with its problem."""
    content = bytearray((exported / "baseline.int8.onnx").read_bytes())
    content[5000] ^= 1
    path = tmp_path / "changed.onnx"
    path.write_bytes(content)
    found = describe_model_file(str(path))
    assert found.problem == "was changed after it was exported (checksum differs); export again"
    assert found.metadata.name == "baseline"


def test_files_that_cannot_be_described(exported: Path, tmp_path: Path) -> None:
    """A file without readable metadata is a ModelFileError with its path."""
    content = (exported / "baseline.int8.tflite").read_bytes()
    for name, damaged in (("cut.tflite", content[:-100]), ("text.tflite", b"text")):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(ModelFileError, match=f"{name}': "):
            describe_model_file(str(tmp_path / name))
