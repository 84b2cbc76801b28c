from __future__ import annotations

import importlib.metadata
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fmx_cli.app import app
from fmx_runtime.model_file.default_model import SHIPPED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FMX = Path(sys.executable).with_name("fmx")
FMX_RUN = Path(sys.executable).with_name("fmx-run")
BARE_SCRIPT = """
import sys
import numpy as np
from PIL import Image
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
pixels = np.asarray(Image.open(sys.argv[2]).convert("L")).reshape(1, 28, 28, 1)
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
interpreter.invoke()
print(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).argmax())
"""
HEAVY = {
    "tensorflow",
    "keras",
    "numpy",
    "PIL",
    "onnx",
    "onnxruntime",
    "tf2onnx",
    "ai_edge_litert",
    "matplotlib",
    "jinja2",
    "pooch",
    "rich",
}
COMMANDS = [command.name.split() for command in app.registered_commands if command.name]


@pytest.mark.parametrize("arguments", [[], *COMMANDS], ids=" ".join)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    """``fmx --help`` and each command's own help import no library that is slow to import."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", FMX, *arguments, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Usage: fmx" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert not HEAVY & imported


def test_help_of_fmx_run_imports_the_standard_library_only() -> None:
    """``fmx-run --help`` imports no installed package, and few modules of its own."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", FMX_RUN, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("usage: fmx-run")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    own = {name for name in imported if name.startswith("fmx_runtime.")}
    assert "fmx_runtime.command.main" in own
    rooms = {name.split(".")[1] for name in own}
    assert rooms <= {"command", "errors", "backends", "support"}
    installed = {
        top
        for names in importlib.metadata.packages_distributions().items()
        if (top := names[0]) not in {"fmx_runtime", "_distutils_hack"}
    }
    assert {"numpy", "PIL", "ai_edge_litert", "onnxruntime", "rich", "typer"} <= installed
    assert not installed & {name.partition(".")[0] for name in imported}


def median_seconds(commands: Mapping[str, Sequence[str | Path]], repeats: int) -> dict[str, float]:
    """The median time of each command; they take turns, so that a busy machine slows all."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for repeat in range(repeats + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)
            if repeat:  # the first one fills the disk's cache
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


@pytest.mark.timed
def test_help_is_quick() -> None:
    """``fmx --help`` takes less than three times as long as Python needs to import Typer."""
    commands = {"help": [FMX, "--help"], "typer": [sys.executable, "-c", "import typer"]}
    medians = median_seconds(commands, 7)
    assert medians["help"] < 3 * medians["typer"]


@pytest.mark.timed
def test_cold_start(tmp_path: Path) -> None:
    """``fmx-run IMAGE`` takes at most 1.4 times as long as a script that predicts the same.

    The script imports NumPy, Pillow and the interpreter, opens the model and predicts one image.
    """
    image = tmp_path / "image.png"
    Image.fromarray((np.arange(28 * 28) // 4).astype(np.uint8).reshape(28, 28)).save(image)
    medians = median_seconds(
        {
            "script": [sys.executable, "-c", BARE_SCRIPT, SHIPPED, image],
            "fmx-run": [FMX_RUN, "--model", SHIPPED, image],
        },
        15,
    )
    assert medians["fmx-run"] < 1.4 * medians["script"]
