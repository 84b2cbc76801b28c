from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fmx_runtime.command.arguments import parse_arguments

if TYPE_CHECKING:
    from collections.abc import Callable

    FmxRun = Callable[..., subprocess.CompletedProcess[str]]


COMMAND = Path(sys.executable).with_name("fmx-run")


def test_options_anywhere(fmx_run: FmxRun, images: Path) -> None:
    """Images may stand before, between and after options."""
    first, last = images / "00.png", images / "01.png"
    assert fmx_run(first, "--jsonl", last).stdout == fmx_run("--jsonl", first, last).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--top-k", "0", "a.png"),
        ("--top-k", "-1", "a.png"),
        ("--top-k", "two", "a.png"),
        ("--top-k", "1.5", "a.png"),
        ("--threads", "0", "a.png"),
        ("--backend", "torch", "a.png"),
        ("--json", "--jsonl", "a.png"),
        ("--no-such-option", "a.png"),
        ("--self-test", "--json", "--jsonl"),
        ("--json", "--csv", "a.png"),
        ("--self-test", "--info"),
        ("--info", "--csv"),
        ("--watch", ".", "a.png"),
        ("--camera", "0", "--watch", "."),
        ("--segment-garment", "maybe", "a.png"),
        ("-", "-"),
        ("--save-preprocessed", "out.png"),
        ("--save-preprocessed", "out.png", "a.png", "b.png"),
        ("--save-preprocessed", "out.jpg", "a.png"),
        ("--save-preprocessed", "out.png", "--watch", "."),
        ("--model",),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], fmx_run: FmxRun) -> None:
    """Wrong usage is explained on stderr; exit code 2."""
    done = fmx_run(*arguments, model=None)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: fmx-run ")
    assert "fmx-run: error: " in done.stderr


def test_help(fmx_run: FmxRun) -> None:
    """``--help`` names each option, and where the model is looked for, on stdout."""
    done = fmx_run("--help", model=None)
    assert (done.returncode, done.stderr) == (0, "")
    words = ("--model", "--top-k", "--json", "--jsonl", "--threads", "--backend", "$FMX_MODEL")
    assert all(word in done.stdout for word in (*words, "--self-test", "MODEL"))


def test_help_imports_little() -> None:
    """``fmx-run --help`` imports neither NumPy nor Pillow, nor an interpreter."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", COMMAND, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "argparse" in imported
    top = {name.partition(".")[0] for name in imported if name.startswith(("fmx_", "numpy"))}
    assert top == {"fmx_runtime"}
    heavy = {"PIL", "tensorflow", "keras", "onnx", "onnxruntime", "ai_edge_litert", "typer", "rich"}
    assert not heavy & imported


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "the following arguments are required: IMAGE"),
        (
            "--top-k none a.png",
            "argument --top-k: must be a whole number of at least 1, not 'none'",
        ),
        (
            "--input-range=-1..1 a.png",
            "--input-range needs --labels; neither applies to --self-test",
        ),
        (
            "--labels l.txt --info",
            "--input-range needs --labels; neither applies to --self-test or",
        ),
        ("--watch in a.png", "--watch and --camera take no IMAGE"),
        ("- -", "- can be given only once: there is one standard input"),
        ("--info --csv", "--info has no CSV output: use --json or --jsonl"),
        ("--save-preprocessed out.png a.png b.png", "--save-preprocessed needs exactly one IMAGE"),
        ("--save-preprocessed out.jpg a.png", "--save-preprocessed writes a PNG file: give a name"),
    ],
)
def test_conflicting_options(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Options that cannot be combined are named in the message."""
    with pytest.raises(SystemExit, match="2"):
        parse_arguments(arguments.split())
    assert f"fmx-run: error: {message}" in capsys.readouterr().err


def test_options() -> None:
    """Options are parsed, and the others have their defaults."""
    options = parse_arguments(
        ["--top-k", "3", "a.png", "--csv", "b.png", "--input-range=-1..1", "--labels", "l"]
    )
    assert (options.files, options.top_k, options.format) == (["a.png", "b.png"], 3, "csv")
    assert (options.input_range, options.labels, options.threads) == ("-1..1", "l", 1)
    assert options.segment_garment == "auto"
    bench = parse_arguments(["bench", "--images", "i.npz", "a.tflite"])
    assert (bench.bench, bench.models, bench.watch) == (True, ["a.tflite"], None)
