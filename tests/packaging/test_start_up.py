from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fmx_cli.app import app

FMX = Path(sys.executable).with_name("fmx")
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
    """``fmx --help`` and each command's own help import no library that takes time."""
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


def test_help_is_quick() -> None:
    """``fmx --help`` takes less than three times as long as Python needs to import Typer."""
    commands = {"help": [FMX, "--help"], "typer": [sys.executable, "-c", "import typer"]}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(7):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    assert medians["help"] < 3 * medians["typer"]
