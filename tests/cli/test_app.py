"""The command's surface."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Done = subprocess.CompletedProcess[str]

COMMANDS = ("data", "train", "export", "inspect", "demo", "bench")


def test_help_names_every_command(fmx: Callable[..., Done], tmp_path: Path) -> None:
    """The installed ``fmx --help`` lists the commands on stdout, as ``fmx -h`` does."""
    done = fmx("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert not done.stderr
    listed = [line.split()[0] for line in done.stdout.partition("Commands:")[2].splitlines()[1:]]
    assert [name for name in listed if name in COMMANDS] == list(COMMANDS)
    assert fmx("-h", cwd=tmp_path).stdout == done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command: str, here: Callable[..., Done]) -> None:
    """Each command explains itself and its options."""
    done = here(command, "--help")
    assert done.returncode == 0
    assert f"Usage: fmx {command}" in done.stdout
    assert ("--data-dir" in done.stdout) == (command != "inspect")


def test_without_a_command_there_is_help(here: Callable[..., Done]) -> None:
    """A bare ``fmx`` shows the help, and is no success."""
    done = here()
    assert done.returncode == 2
    assert "Commands:" in done.stdout + done.stderr


def test_help_loads_nothing_heavy() -> None:
    """To parse the command line neither NumPy nor any larger library is imported."""
    code = (
        "import sys\n"
        "from fmx_cli import app\n"
        "sys.argv = ['fmx', '--help']\n"
        "try:\n"
        "    app.main()\n"
        "finally:\n"
        "    heavy = {'numpy', 'PIL', 'rich', 'keras', 'tensorflow', 'matplotlib', 'onnx'}\n"
        "    print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["--nonsense"], "No such option: --nonsense"),
        (["data", "more"], "unexpected extra argument"),
        (["train", "runs/mine"], "unexpected extra argument"),
        (["train", "--epochs", "0"], "'--epochs'.*greater than or equal to 1"),
        (["train", "--epochs", "-3"], "'--epochs'.*greater than or equal to 1"),
        (["train", "--epochs", "ten"], "'--epochs'.*valid integer"),
        (["train", "--epochs", "1.5"], "'--epochs'.*valid integer"),
        (["train", "--epochs"], "'--epochs' requires an argument"),
        (["train", "--seed", "-1"], "'--seed'.*greater than or equal to 0"),
        (["export", "one", "two"], "unexpected extra argument"),
        (["export", "--format", "tflite-int4"], "'tflite-int4' is not one of"),
        (
            ["export", "--max-accuracy-drop", "-1"],
            "'--max-accuracy-drop'.*greater than or equal to 0",
        ),
    ],
)
def test_usage_mistakes(
    words: list[str], message: str, here: Callable[..., Done], tmp_path: Path
) -> None:
    """A mistyped command line is said in one line, exit code 2, and nothing was done."""
    done = here(*words)
    assert done.returncode == 2
    assert not done.stdout
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert re.search(message, errors[0])
    assert not list(tmp_path.iterdir())


def test_letters_that_the_terminal_does_not_know(fmx: Callable[..., Done], tmp_path: Path) -> None:
    """Where stdout takes ASCII only, other letters are replaced, and the command goes on."""
    done = fmx("data", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "Ankle boot" in done.stdout
    assert not done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout(
    fmx_path: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """Results that cannot be written are one line on stderr."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [fmx_path, "data"],
            cwd=tmp_path,
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "fmx: [Errno 28] No space left on device\n"


def test_a_reader_that_has_gone(
    fmx_path: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """Where nobody reads stdout any more, as behind ``| head``, nothing is said on stderr."""
    with subprocess.Popen(
        [fmx_path, "data"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert not process.stderr.read()
