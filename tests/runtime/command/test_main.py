from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fmx_runtime.command import main

if TYPE_CHECKING:
    from collections.abc import Callable

    FmxRun = Callable[..., subprocess.CompletedProcess[str]]


COMMAND = Path(sys.executable).with_name("fmx-run")


@pytest.mark.parametrize("kind", ["gone", "text", "folder", "damaged", "other format"])
def test_unusable_models(
    kind: str,
    fmx_run: FmxRun,
    exported: Path,
    images: Path,
    tmp_path: Path,
) -> None:
    """A missing or damaged model, or one for another interpreter, is one line; exit code 3."""
    model = tmp_path / "model.tflite"
    more: tuple[str, ...] = ()
    if kind == "text":
        model.write_text("no model\n", "utf-8")
    elif kind == "folder":
        model.mkdir()
    elif kind == "damaged":
        content = bytearray((exported / "baseline.int8.tflite").read_bytes())
        content[7000] ^= 1
        model.write_bytes(content)
    elif kind == "other format":
        model.write_bytes((exported / "baseline.int8.tflite").read_bytes())
        more = ("--backend", "onnxruntime")
    done = fmx_run("--json", *more, images / "00.png", model=model)
    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("fmx-run: ")
    assert f"'{model}'" in line


@pytest.mark.parametrize("form", ["--jsonl", "--json", None])
def test_reader_that_stops(form: str | None, exported: Path, images: Path) -> None:
    """``fmx-run … | head -1`` prints its line and ends with exit code 0, without a message."""
    many = [str(images)] * 50
    process = subprocess.Popen(
        [
            COMMAND,
            "--model",
            exported / "baseline.int8.tflite",
            "--top-k",
            "10",
            *([form] if form else []),
            *many,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 0


def test_no_reader(exported: Path, images: Path) -> None:
    """It also ends if results and messages go to a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [COMMAND, "--model", exported / "baseline.int8.tflite", "gone.png", images],
        stdout=writing,
        stderr=writing,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110
@pytest.mark.parametrize("form", ["--jsonl", "--json", None])
def test_full_disk(form: str | None, exported: Path, images: Path) -> None:
    """Results that cannot be written are one line; exit code 1."""
    options = [form] if form else []
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [COMMAND, "--model", exported / "baseline.int8.tflite", *options, images],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "fmx-run: cannot write the results: No space left on device\n"


def test_closed_stderr(exported: Path, images: Path) -> None:
    """Without a stderr, images are classified, and messages do not get into the results."""
    done = subprocess.run(
        [COMMAND, "--model", exported / "baseline.int8.tflite", "gone.png", images / "00.png"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        preexec_fn=lambda: os.close(2),
    )
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert line.startswith(str(images / "00.png"))


@pytest.mark.parametrize("form", ["--json", "--jsonl", "--csv"])
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_interrupted(
    number: signal.Signals,
    code: int,
    form: str,
    start: Callable[..., subprocess.Popen[str]],
    images: Path,
) -> None:
    """Ctrl-C and SIGTERM end it without a message; the results so far are complete."""
    process = start(form, *[images] * 20_000)
    assert process.stdout
    assert process.stderr
    out = process.stdout.readline() + process.stdout.readline()
    process.send_signal(number)
    out += process.stdout.read()
    assert (process.wait(), process.stderr.read()) == (code, "")
    if form == "--json":
        assert all(item["label"] for item in json.loads(out))
    elif form == "--jsonl":
        assert all(json.loads(line)["label"] for line in out.splitlines())
    else:
        assert {len(row) for row in csv.reader(out.splitlines())} == {4}


INTERRUPTED_IMPORT = """
import os, signal, sys
from fmx_runtime.command.main import main
at, imports = int(sys.argv.pop(1)), 0
def count(event, _):
    global imports
    # from when `main` handles SIGINT until it returns
    if event == "import" and signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        imports += 1
        if imports == at:
            os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(count)
code = main()
if not at:
    print(imports)
sys.exit(code)
"""


def test_interrupted_during_imports(exported: Path, images: Path) -> None:
    """Ctrl-C during any import of the command ends it, with no traceback.

    Most of the time until the first result is spent in imports. The signal is sent at imports that
    are counted, not after a time, so it never arrives before `main` is entered or after it returns,
    where Python handles it.
    """

    def run(at: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", INTERRUPTED_IMPORT, str(at), "--model"]
        return subprocess.run(
            [*command, exported / "baseline.int8.tflite", images],
            capture_output=True,
            text=True,
            check=False,
        )

    undisturbed = run(0)
    assert undisturbed.returncode == 0
    imports = int(undisturbed.stdout.splitlines()[-1])
    assert imports > 100
    for at in sorted({1, 2, 3, *range(4, imports, imports // 10), imports}):
        done = run(at)
        assert (done.returncode, done.stderr) == (128 + signal.SIGINT, ""), at


def test_in_process(exported: Path, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`main` can be called by a program: it returns the exit code, and changes nothing."""
    before = sys.stderr
    model = str(exported / "baseline.int8.tflite")
    assert main.main(["--model", model, "--jsonl", str(images / "00.png")]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(images / "00.png")
    assert main.main(["--model", "gone", str(images / "00.png")]) == 3
    assert capsys.readouterr() == ("", "fmx-run: model 'gone' does not exist\n")
    assert sys.stderr is before


@pytest.mark.parametrize("module", ["fmx_runtime", "fmx_runtime.command.main"])
def test_as_a_module(module: str, exported: Path, images: Path) -> None:
    """``python -m fmx_runtime`` is the same command, with the same exit codes."""
    for image, code in ((images / "00.png", 0), ("gone.png", 1)):
        model = exported / "baseline.int8.onnx"
        done = subprocess.run(
            [sys.executable, "-m", module, "--model", model, image],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, bool(done.stdout)) == (code, code == 0)
