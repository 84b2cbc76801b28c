"""The option that several commands have."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fmx_cli.parsing.options import DataDir


@pytest.mark.parametrize(
    ("words", "expected"),
    [([], None), (["--data-dir", "a b/[c]"], Path("a b/[c]")), (["--data-dir", ""], Path())],
)
def test_data_dir_is_a_path(words: list[str], expected: Path | None) -> None:
    """A command gets the folder as a path, or None; the folder need not exist."""
    received: list[object] = []
    app = typer.Typer()

    @app.command()
    def show(data_dir: DataDir = None) -> None:
        received.append(data_dir)

    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert received == [expected]


@pytest.mark.parametrize("command", ["data", "train", "export", "bench", "demo"])
def test_commands_share_the_option(command: str) -> None:
    """Each command that reads Fashion-MNIST explains --data-dir in the same words."""
    from fmx_cli.app import app

    done = CliRunner().invoke(app, [command, "--help"], terminal_width=1000)
    (line,) = (line for line in done.output.splitlines() if "--data-dir" in line)
    assert line.split() == [
        *("--data-dir", "DIR", "Folder", "with", "the", "four", "Fashion-MNIST", "files."),
        *("Default:", "$FMX_DATA_DIR,", "or", "the", "usual", "places,", "or", "a", "download."),
    ]
