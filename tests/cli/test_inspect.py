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
