"""The command ``fmx``: its sub-commands, usage errors and output streams."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Completed = subprocess.CompletedProcess[str]

COMMANDS = ("data", "train", "export", "inspect", "bench", "bench compare", "demo")


def test_help_names_every_command(fmx: Callable[..., Completed], tmp_path: Path) -> None:
    """The installed ``fmx --help`` lists the commands on stdout, as ``fmx -h`` does."""
    done = fmx("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert not done.stderr
    lines = done.stdout.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert tuple(re.split("  +", line.strip())[0] for line in lines) == COMMANDS
    assert "..." not in done.stdout.partition("Commands:")[2]
    assert fmx("-h", cwd=tmp_path).stdout == done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command: str, fmx_in_process: Callable[..., Completed]) -> None:
    """Each command explains itself and its options."""
    done = fmx_in_process(*command.split(), "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: fmx {command} [OPTIONS]")
    assert ("--data-dir" in done.stdout) == (command not in {"inspect", "bench compare"})


def test_no_command_shows_help(fmx_in_process: Callable[..., Completed]) -> None:
    """``fmx`` without a command shows the help and exits with 2."""
    done = fmx_in_process()
    assert done.returncode == 2
    assert "Commands:" in done.stdout + done.stderr


def test_help_loads_nothing_heavy() -> None:
    """Parsing the command line imports neither NumPy nor any larger library."""
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
    ("arguments", "message"),
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
def test_usage_errors(
    arguments: list[str], message: str, fmx_in_process: Callable[..., Completed], tmp_path: Path
) -> None:
    """A wrong command line gives one line of error, exit code 2, and nothing is done."""
    done = fmx_in_process(*arguments)
    assert done.returncode == 2
    assert not done.stdout
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert re.search(message, errors[0])
    assert not list(tmp_path.iterdir())


def test_characters_that_the_terminal_lacks(fmx: Callable[..., Completed], tmp_path: Path) -> None:
    """If stdout takes only ASCII, other characters are replaced, and the command goes on."""
    done = fmx("data", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "Ankle boot" in done.stdout
    assert not done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_disk(fmx_path: Path, environment: dict[str, str], tmp_path: Path) -> None:
    """If results cannot be written, one line on stderr says so."""
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


def test_closed_stdout(fmx_path: Path, environment: dict[str, str], tmp_path: Path) -> None:
    """If the reader of stdout is gone, as with ``| head``, nothing is printed on stderr."""
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
