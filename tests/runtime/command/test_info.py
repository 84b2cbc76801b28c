from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import platform
from typing import TYPE_CHECKING

import pytest

from fmx_export.pipeline.metadata_writer import write_metadata
from fmx_runtime import Classifier
from fmx_runtime.command.info import read_model_info
from fmx_runtime.errors import ModelFileError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"])
def test_metadata(name: str, exported: Path) -> None:
    """All metadata is in the record; of the test vectors, their number."""
    path = exported / f"baseline.{name}"
    found = read_model_info(str(path), threads=2)
    metadata = Classifier(path).metadata
    assert (found.metadata, found.problem, found.exit_code) == (metadata, None, 0)
    record = json.loads(json.dumps(found.record()))
    for key, value in json.loads(metadata.to_json()).items():
        if key not in {"test_vectors", "metadata_sha256"}:
            assert record[key] == value
    assert record["test_vector_count"] == 3
    assert (record["intact"], record["size_bytes"]) == (True, path.stat().st_size)
    assert (record["path"], record["threads"]) == (str(path), 2)


def test_interpreter(exported: Path) -> None:
    """The interpreter is the one of the classifier, or the one that was asked for."""
    for name in ("int8.tflite", "int8.onnx"):
        path = exported / f"baseline.{name}"
        found = read_model_info(str(path))
        assert found.interpreter == Classifier(path).backend
        assert found.record()["python"] == platform.python_version()
        assert found.record()["machine"].startswith(platform.machine())
        assert found.record()["package_versions"]["pillow"] == importlib.metadata.version("pillow")
    found = read_model_info(str(exported / "baseline.int8.tflite"), backend="onnxruntime")
    assert found.interpreter is None
    assert found.install_hint


def test_text(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Headings and values are in columns, on lines that fit the terminal."""
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.chdir(exported)
    lines = read_model_info("baseline.int8.tflite").lines()
    text = "\n".join(lines)
    headings = [line[:16].strip() for line in lines]
    assert headings[:5] == ["file", "", "checksum", "model", "labels"]
    assert {"input", "output", "accuracy", "quantization", "calibration"} <= set(headings)
    assert {"self-test", "trained", "exported with", "interpreter"} <= set(headings)
    for words in ("T-shirt/top", "10: ", "28x28 gray, uint8", "int8", "correct", "recipe baseline"):
        assert words in text
    assert max(map(len, lines)) <= 70


def test_many_labels(exported: Path, tmp_path: Path) -> None:
    """Of many labels, the first ones and their number are shown."""
    path = exported / "baseline.int8.onnx"
    metadata = Classifier(path).metadata
    labels = tuple(f"kind {index}" for index in range(1000))
    content = write_metadata(
        path.read_bytes()[: metadata.model_bytes], dataclasses.replace(metadata, labels=labels)
    )
    (tmp_path / "many.onnx").write_bytes(content)
    found = read_model_info(str(tmp_path / "many.onnx"))
    (line,) = (line for line in found.lines() if line.startswith("labels"))
    assert "1,000: kind 0, kind 1," in line
    assert "…" in "\n".join(found.lines())
    assert "kind 500" not in "\n".join(found.lines())
    assert len(found.record()["labels"]) == 1000


def test_changed_model(exported: Path, tmp_path: Path) -> None:
    """The metadata of a changed model is shown, with the problem."""
    content = bytearray((exported / "baseline.int8.tflite").read_bytes())
    content[7000] ^= 1
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    found = read_model_info(str(path))
    assert found.problem
    assert "checksum differs" in found.problem
    assert found.exit_code == 3
    assert found.record()["error"] == found.error == f"'{path}': {found.problem}"
    assert not found.record()["intact"]
    assert any(line.startswith("checksum") and "changed" in line for line in found.lines())


def test_unreadable_models(exported: Path, tmp_path: Path) -> None:
    """A missing file, another file and a model without metadata are errors that name them."""
    text = tmp_path / "text.tflite"
    text.write_text("no model", "utf-8")
    bare = tmp_path / "bare.tflite"
    whole = exported / "baseline.int8.tflite"
    bare.write_bytes(whole.read_bytes()[: Classifier(whole).metadata.model_bytes])
    for path in (text, bare, tmp_path / "gone.tflite", tmp_path):
        with pytest.raises(ModelFileError, match=f"'{path}'"):
            read_model_info(str(path))
