from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

from fmx_runtime.backends.install_hints import Platform
from fmx_runtime.backends.selection import open_backend
from fmx_runtime.errors import BackendError, ModelFileError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from fmx_training.data.dataset import Splits

NAMES = ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"]
PACKAGES = {"tflite": "ai-edge-litert", "onnx": "onnxruntime"}
OPEN = """
import pathlib, sys
from fmx_runtime import Classifier, FmxError
for path in sys.argv[1:]:
    try:
        print(Classifier(path).backend)
    except FmxError as error:
        print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    "content", [b"", b"T", b"text\n", b"PK\x03\x04", b"TFL3", b"\x00" * 8, b"\x89PNG\r\n\x1a\n"]
)
def test_other_files_are_not_opened(content: bytes) -> None:
    """A file of another kind is refused before an interpreter is chosen."""
    with pytest.raises(ModelFileError, match="neither a TFLite nor an ONNX model"):
        open_backend(content, backend=None, threads=1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("chosen", [True, False])
def test_a_backend_describes_its_model(name: str, chosen: bool, exported: Path) -> None:
    """A backend, named or not, has its interpreter's version and its tensors' shapes."""
    precision, _, form = name.partition(".")
    opened = open_backend(
        (exported / f"baseline.{name}").read_bytes(),
        backend=PACKAGES[form] if chosen else None,  # type: ignore[arg-type]
        threads=1,
    )
    package = PACKAGES[form]
    assert opened.name == f"{package} {importlib.metadata.version(package)}"
    assert opened.input_shape == (1, 28, 28, 1)
    assert opened.input_dtype == ("uint8" if precision == "int8" else "float32")
    assert opened.output_size == 10


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_new_arrays(name: str, exported: Path, splits: Splits) -> None:
    """An output is float32, one value for each class, and the next call does not change it."""
    opened = open_backend((exported / f"baseline.{name}").read_bytes(), backend=None, threads=1)
    tensors = splits.test.images[:2].astype(opened.input_dtype)
    if opened.input_dtype == "float32":
        tensors /= 255
    first = opened.run(tensors[:1])
    kept = first.copy()
    second = opened.run(tensors[1:])
    assert (first.dtype, first.shape) == (np.float32, (10,))
    assert np.array_equal(first, kept)
    assert not np.array_equal(first, second)
    assert np.array_equal(opened.run(tensors[:1]), kept)
    assert opened.scores(tensors[:1]) == kept.tolist()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("int8.tflite", "onnxruntime"),
        ("int8.onnx", "ai-edge-litert"),
        ("int8.onnx", "tflite-runtime"),
    ],
)
def test_an_interpreter_for_the_other_format(name: str, wrong: str, exported: Path) -> None:
    """An interpreter that does not run the format is refused, and one that does is named."""
    content = (exported / f"baseline.{name}").read_bytes()
    right = PACKAGES[name.partition(".")[2]]
    with pytest.raises(BackendError, match=f"{wrong} does not run .* models; choose {right}"):
        open_backend(content, backend=wrong, threads=1)  # type: ignore[arg-type]


def test_a_named_interpreter_is_not_replaced(exported: Path) -> None:
    """A named interpreter that is not installed is not replaced by one that is."""
    content = (exported / "baseline.int8.tflite").read_bytes()
    with pytest.raises(BackendError, match=r"^tflite-runtime is not installed .*tflite-runt"):
        open_backend(content, backend="tflite-runtime", threads=1)


def test_no_interpreter_is_installed(
    bare_python: Callable[..., subprocess.CompletedProcess[str]], exported: Path
) -> None:
    """Where no interpreter is installed, the error says how to install the format's own."""
    done = bare_python(OPEN, exported / "baseline.int8.tflite", exported / "baseline.int8.onnx")
    assert done.stderr == ""
    tflite, onnx_ = done.stdout.splitlines()
    machine = f"on this machine ({Platform.here()}): install one with"
    for line, package in ((tflite, "ai-edge-litert"), (onnx_, "onnxruntime")):
        assert line.startswith("BackendError '")
        assert machine in line
        assert line.endswith(f": install one with 'pip install {package}'")


def test_damage_is_found_before_an_interpreter_is_loaded(
    bare_python: Callable[..., subprocess.CompletedProcess[str]], exported: Path, tmp_path: Path
) -> None:
    """A damaged model never reaches an interpreter: its checksum is compared first."""
    paths = []
    for form in ("tflite", "onnx"):
        content = bytearray((exported / f"baseline.int8.{form}").read_bytes())
        content[5000] ^= 1
        paths.append(tmp_path / f"damaged.{form}")
        paths[-1].write_bytes(content)
    done = bare_python(OPEN, *paths)
    assert done.stderr == ""
    for line, path in zip(done.stdout.splitlines(), paths, strict=True):
        assert line.startswith(f"ModelFileError '{path}': was changed after it was exported")


@pytest.mark.parametrize("form", ["tflite", "onnx"])
def test_an_interpreter_that_cannot_be_loaded(
    form: str,
    bare_python: Callable[..., subprocess.CompletedProcess[str]],
    exported: Path,
    tmp_path: Path,
) -> None:
    """An installed interpreter whose libraries are missing is a BackendError with the cause."""
    package = PACKAGES[form]
    home = tmp_path / "site" / package.replace("-", "_")
    home.mkdir()
    (home / "__init__.py").write_text("raise ImportError('libm.so.9: cannot open')", "utf-8")
    done = bare_python(OPEN, exported / f"baseline.int8.{form}")
    assert done.stderr == ""
    assert done.stdout.startswith("BackendError '")
    assert f"{package} is installed but cannot be loaded: libm.so.9: cannot open" in done.stdout


def test_models_that_an_interpreter_refuses(exported: Path, capfd: pytest.CaptureFixture) -> None:
    """The message names the interpreter, its version and the cause; nothing is printed."""
    unknown = onnx.load(exported / "baseline.int8.onnx")
    unknown.graph.node[0].op_type = "NoSuchOperator"
    tflite = (exported / "baseline.int8.tflite").read_bytes()
    for content in (unknown.SerializeToString(), tflite[:50_000], tflite[:8] + bytes(1000)):
        with pytest.raises(ModelFileError, match=r"(litert|onnxruntime) \d.* cannot load") as error:
            open_backend(content, backend=None, threads=1)
        assert "\n" not in str(error.value)
    assert capfd.readouterr().out == ""
