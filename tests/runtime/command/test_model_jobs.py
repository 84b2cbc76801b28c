from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmx_export.pipeline.metadata_writer import write_metadata
from fmx_runtime import Classifier
from fmx_runtime.command.info import read_model_info
from fmx_runtime.command.self_test import self_test
from fmx_runtime.model_file import test_vectors

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    FmxRun = Callable[..., subprocess.CompletedProcess[str]]


NAMES = ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"]


@pytest.fixture
def other_models(exported: Path, tmp_path: Path) -> dict[str, Path]:
    """Return models with slightly wrong, quite wrong and no test vectors."""
    whole = exported / "baseline.int8.onnx"
    metadata = Classifier(whole).metadata
    assert metadata.test_vectors
    pixels, outputs = test_vectors.decode(metadata.test_vectors, metadata.input.shape)
    model = whole.read_bytes()[: metadata.model_bytes]
    vectors = {
        "near": test_vectors.encode(pixels, outputs + np.float32(1 / 256)),
        "far": test_vectors.encode(pixels, outputs[:, ::-1]),
        "none": None,
    }
    paths = {name: tmp_path / f"{name}.int8.onnx" for name in vectors}
    for name, path in paths.items():
        path.write_bytes(
            write_metadata(model, dataclasses.replace(metadata, test_vectors=vectors[name]))
        )
    return paths


@pytest.mark.parametrize("name", NAMES)
def test_self_test(name: str, fmx_run: FmxRun, exported: Path) -> None:
    """``--self-test MODEL`` prints one line: the verdict and the interpreter."""
    path = exported / f"baseline.{name}"
    done = fmx_run("--self-test", path, model=None)
    backend = Classifier(path).backend
    assert done.stdout == f"{path}: exact (3 test vectors, {backend})\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_self_test_model(fmx_run: FmxRun, exported: Path) -> None:
    """The model may also come from ``--model`` or $FMX_MODEL; several are one line each."""
    path, other = exported / "baseline.int8.tflite", exported / "baseline.int8.onnx"
    line = fmx_run("--self-test", path, model=None).stdout
    assert fmx_run("--self-test", model=path).stdout == line
    assert fmx_run("--self-test", model=None, FMX_MODEL=str(path)).stdout == line
    both = fmx_run("--self-test", other, model=path).stdout
    assert both == line + fmx_run("--self-test", other, model=None).stdout


def test_failed_self_tests(fmx_run: FmxRun, exported: Path, other_models: dict[str, Path]) -> None:
    """A wrong or missing test vector is exit code 3; the other models are tested."""
    whole = exported / "baseline.int8.onnx"
    done = fmx_run("--self-test", *other_models.values(), "gone.tflite", whole, model=None)
    near, far, last = done.stdout.splitlines()
    assert near.startswith(f"{other_models['near']}: within tolerance (3 test vectors, onnx")
    assert near.endswith(", largest difference 0.0039, tolerance 0.1)")
    assert far.startswith(f"{other_models['far']}: wrong (3 test vectors, onnxruntime ")
    assert far.endswith(", tolerance 0.1, other top labels)")
    assert last.startswith(f"{whole}: exact ")
    none, gone = done.stderr.splitlines()
    assert none == (
        f"fmx-run: '{other_models['none']}': contains no test vectors: export the model again"
    )
    assert gone == "fmx-run: model 'gone.tflite' does not exist"
    assert done.returncode == 3
    assert fmx_run("--self-test", other_models["near"], model=None).returncode == 0
    assert fmx_run("--self-test", other_models["far"], model=None).returncode == 3


@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_self_test_in_json(form: str, fmx_run: FmxRun, other_models: dict[str, Path]) -> None:
    """In JSON, the result is the library's with the path, or ``{"path", "error"}``."""
    paths = list(other_models.values())
    done = fmx_run("--self-test", form, *paths, model=None)
    lines = done.stdout.splitlines()
    objects = json.loads(done.stdout) if form == "--json" else [json.loads(x) for x in lines]
    for item, path in zip(objects, paths[:2], strict=False):
        result = self_test(Classifier(path))
        assert item == {"path": str(path), **dataclasses.asdict(result)}
    assert set(objects[2]) == {"path", "error"}
    assert done.stderr == f"fmx-run: {objects[2]['error']}\n"
    assert done.returncode == 3


@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_info(form: str, fmx_run: FmxRun, exported: Path) -> None:
    """``--info`` shows what the library reads, without an image; bad models are errors."""
    models = [exported / f"baseline.{name}" for name in NAMES]
    done = fmx_run("--info", form, *models, "gone.tflite", model=None)
    lines = done.stdout.splitlines()
    records = json.loads(done.stdout) if form == "--json" else [json.loads(line) for line in lines]
    expected = [read_model_info(str(path)).record() for path in models]
    assert records[:-1] == json.loads(json.dumps(expected))
    assert set(records[-1]) == {"path", "error"}
    assert (done.returncode, done.stderr) == (3, f"fmx-run: {records[-1]['error']}\n")


def test_info_of_a_damaged_model(fmx_run: FmxRun, exported: Path, tmp_path: Path) -> None:
    """The metadata is shown, and so is the problem; exit code 3."""
    content = bytearray((exported / "baseline.int8.tflite").read_bytes())
    content[7000] ^= 1
    (tmp_path / "model.tflite").write_bytes(content)
    done = fmx_run("--info", "model.tflite", model=None)
    assert "T-shirt/top" in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("fmx-run: 'model.tflite': was changed after it was exported")
    assert done.returncode == 3


def test_info_without_an_interpreter(
    exported: Path, bare_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """If no interpreter is installed, the metadata and the install hint are shown."""
    code = "import sys; from fmx_runtime.command.main import main; sys.exit(main())"
    done = bare_python(code, "--info", exported / "baseline.int8.tflite")
    assert (done.returncode, done.stderr) == (0, "")
    assert "T-shirt/top" in done.stdout
    assert "none installed; install one with 'pip install ai-edge-litert'" in done.stdout
