"""``fmx inspect``: its output, and the files that it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fmx_export.pipeline.inspect import Inspection, inspect_file
from fmx_runtime.support import json_codec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Completed = subprocess.CompletedProcess[str]

FILES = [
    f"baseline.{precision}.{form}"
    for precision in ("float32", "int8")
    for form in ("tflite", "onnx")
]


@pytest.mark.parametrize("file", FILES)
def test_facts(file: str, fmx_in_process: Callable[..., Completed], exported: Path) -> None:
    """The metadata, each operator and the totals are printed, in 80 columns if piped."""
    done = fmx_in_process("inspect", exported / file)
    assert done.returncode == 0
    assert not done.stderr
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    words = " ".join(done.stdout.split())
    # int8 ONNX has 32 kernels of 3x3 spread over blocks: 4 x 32 of 2x2x4, at 13x13 places
    in_blocks = file == "baseline.int8.onnx"
    parameters = "226,890" if in_blocks else "225,034"
    products = "2,782,464" if in_blocks else "2,631,040"
    inspection = inspect_file(exported / file)
    metadata, totals = inspection.metadata, inspection.graph.totals
    assert metadata is not None
    assert metadata.accuracy is not None
    accuracy = metadata.accuracy
    for fact in (
        f"{metadata.precision}, {inspection.size_bytes:,} bytes",
        "checksum matches: the file is as it was exported",
        f"input {metadata.input.dtype} 1x28x28x1",
        "0.00392157 * pixel",
        "gray 28x28",
        "probabilities of 10 classes",
        ", ".join(metadata.labels),
        f"{accuracy.file:.2%} on {accuracy.size:,} images of {accuracy.data}",
        f"Keras {accuracy.keras:.2%}",
        "recipe baseline, seed 0",
        f"all {totals.operators} operators {parameters} {products} {totals.weight_bytes:,}",
    ):
        assert fact in words
    for operator in inspection.graph.operators:
        assert any(line.split()[:2] == [str(operator.index), operator.type] for line in lines)
    assert all(len(line) <= 80 for line in lines)
    assert "…" not in words.partition("% of")[2]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("baseline.int8.tflite", "no float operators"),
        ("baseline.int8.onnx", "float operators: Softmax (44)"),
        ("baseline.float32.onnx", None),
    ],
)
def test_float_operators(
    file: str, said: str | None, fmx_in_process: Callable[..., Completed], exported: Path
) -> None:
    """Of quantized files, and of those only, the last line names the float operators."""
    done = fmx_in_process("inspect", exported / file)
    assert ("float operator" in done.stdout) == (said is not None)
    if said:
        assert done.stdout.splitlines()[-1] == said


@pytest.mark.parametrize("file", FILES)
def test_json(file: str, fmx_in_process: Callable[..., Completed], exported: Path) -> None:
    """``--json`` prints the whole inspection as one document."""
    done = fmx_in_process("inspect", "--json", exported / file)
    assert done.returncode == 0
    assert json_codec.decode(Inspection, json.loads(done.stdout)) == inspect_file(exported / file)


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["tables", "json"])
def test_damaged_file(
    options: list[str], fmx_in_process: Callable[..., Completed], exported: Path, tmp_path: Path
) -> None:
    """A file with a changed weight is printed, then one line on stderr and exit code 3 follow."""
    content = bytearray((exported / "baseline.int8.tflite").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "mine.tflite").write_bytes(content)
    done = fmx_in_process("inspect", "mine.tflite", *options)
    assert done.returncode == 3
    assert "FULLY_CONNECTED" in done.stdout
    assert "T-shirt/top" in done.stdout
    assert "damaged" in done.stdout
    assert done.stderr == (
        "fmx: 'mine.tflite': was changed after it was exported (checksum differs); export again\n"
    )


def test_no_metadata(
    fmx_in_process: Callable[..., Completed], exported: Path, tmp_path: Path
) -> None:
    """For another tool's file the graph is printed, and that it has no metadata; no error."""
    whole = (exported / "baseline.int8.tflite").read_bytes()
    metadata = inspect_file(exported / "baseline.int8.tflite").metadata
    assert metadata is not None
    (tmp_path / "mine.tflite").write_bytes(whole[: metadata.model_bytes])
    done = fmx_in_process("inspect", "mine.tflite")
    assert done.returncode == 0
    assert "no model metadata" in done.stdout
    assert "FULLY_CONNECTED" in done.stdout
    assert done.stdout.endswith("no float operators\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "model 'it' does not exist"),
        (b"hello", "'it': neither a TFLite nor an ONNX model"),
        (b"\x08\x08\x12", "'it': is damaged, its graph cannot be read"),
    ],
)
def test_unreadable_files(
    content: bytes | None, message: str, fmx_in_process: Callable[..., Completed], tmp_path: Path
) -> None:
    """For a file that is not a model, or a damaged one, there is one line and exit code 3."""
    if content is not None:
        (tmp_path / "it").write_bytes(content)
    done = fmx_in_process("inspect", "it")
    assert done.returncode == 3
    assert not done.stdout
    assert done.stderr.startswith(f"fmx: {message}")
    assert len(done.stderr.splitlines()) == 1


def test_imports_nothing_heavy(exported: Path) -> None:
    """The command imports neither TensorFlow nor Keras nor an interpreter."""
    code = (
        "import sys\n"
        "from fmx_cli import app\n"
        "try:\n"
        "    app.main()\n"
        "finally:\n"
        "    heavy = {'tensorflow', 'keras', 'onnxruntime', 'ai_edge_litert.interpreter'}\n"
        "    print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    for file in FILES[:2]:
        done = subprocess.run(
            [sys.executable, "-c", code, "inspect", exported / file],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr.strip() == "[]"
