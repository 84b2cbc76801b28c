"""The help of all commands: usage lines, metavars and wording."""

from __future__ import annotations

import re

import pytest
import typer
from typer.testing import CliRunner

from fmx_cli.app import app
from fmx_export.pipeline.formats import Format
from fmx_training import recipes

USAGES = {
    "": "Usage: fmx [OPTIONS] COMMAND [ARGS]...",
    "data": "Usage: fmx data [OPTIONS]",
    "train": "Usage: fmx train [OPTIONS]",
    "export": "Usage: fmx export [OPTIONS] [MODEL]",
    "inspect": "Usage: fmx inspect [OPTIONS] MODEL",
    "bench": "Usage: fmx bench [OPTIONS] [MODEL]...",
    "bench compare": "Usage: fmx bench compare [OPTIONS] OLD.json NEW.json",
    "demo": "Usage: fmx demo [OPTIONS]",
}
REPLACED_OPTIONS = (
    "--calls",
    "--debug",
    "--garments",
    "--max-drop",
    "--peers",
    "--photo ",
    "--pixels",
    "--rounds",
    "--save-input",
    "--size",
)
REPLACED_WORDS = (
    "answer",
    "asked",
    "card",
    "carrier",
    "cut out",
    "everything random",
    "foreign",
    "golden",
    "in float",
    "learnt",
    "peers",
    "picture",
    "question",
    "rounds",
    "teaches",
    "what came out",
)


def help_of(command: str, columns: int = 80) -> str:
    """Return what ``fmx COMMAND --help`` prints."""
    done = CliRunner().invoke(
        app,
        [*command.split(), "--help"],
        prog_name="fmx",
        env={"COLUMNS": str(columns)},
        terminal_width=columns,
    )
    assert done.exit_code == 0
    return done.stdout


def test_every_command_is_walked() -> None:
    """The usages above name every command that there is."""
    group = typer.main.get_command(app)
    assert sorted(group.commands) == sorted(filter(None, USAGES))  # type: ignore[attr-defined]


@pytest.mark.parametrize(("command", "usage"), USAGES.items())
def test_usage(command: str, usage: str) -> None:
    """The first line is the command as it is typed, with metavars for its arguments."""
    assert help_of(command).splitlines()[0] == usage


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", USAGES)
def test_help_is_plain(command: str, columns: int) -> None:
    """Help fits the terminal, has no type in angle brackets and no replaced word or option."""
    text = help_of(command, columns)
    assert not re.search(r"<[\w|]", text)
    assert "PICTURE" not in text
    assert max(map(len, text.splitlines())) <= columns
    words = " ".join(text.split()).lower()
    for replaced in (*REPLACED_OPTIONS, *REPLACED_WORDS):
        assert not re.search(rf"(?<![\w-]){re.escape(replaced.strip())}(?![\w-])", words), replaced


@pytest.mark.parametrize("command", USAGES)
def test_metavars(command: str) -> None:
    """Arguments and options have metavars in capitals, or the legal values."""
    group = typer.main.get_command(app)
    parser = group.commands[command] if command else group  # type: ignore[attr-defined]
    for param in parser.params:
        if not getattr(param, "is_flag", False):
            assert param.metavar, param.name
            assert re.fullmatch(
                r"N|NAME|POINTS|FORMAT|LIMIT|MODEL|RUN|FILE|DIR|DIR\|FILE|(OLD|NEW)\.json"
                r"|ssh://\[USER@\]HOST\[:PORT\]|auto\|.+|imagenet\|none\|FILE",
                param.metavar,
            ), param.metavar
        assert param.help
        assert param.help[0].isupper()
        assert param.help.endswith(".")


def test_bench_mentions_compare() -> None:
    """The help of ``fmx bench`` says how to compare two results."""
    assert "fmx bench compare OLD.json NEW.json" in help_of("bench")


@pytest.mark.parametrize(
    ("arguments", "usage"),
    [
        (["bench", "compare"], USAGES["bench compare"]),
        (["bench", "model.tflite", "compare", "--repeats", "0"], USAGES["bench"]),
        (["bench", "--repeats", "0", "compare"], USAGES["bench"]),
        (["compare", "bench"], USAGES[""]),
    ],
)
def test_two_words(arguments: list[str], usage: str) -> None:
    """``compare`` is a command right after ``bench`` only; elsewhere it names a model."""
    done = CliRunner().invoke(app, arguments, prog_name="fmx")
    assert done.exit_code == 2
    assert done.stderr.splitlines()[0] == usage


def test_names_in_help_are_complete() -> None:
    """The help names each recipe and each format."""
    assert all(recipe in help_of("train") for recipe in recipes.RECIPES)
    assert all(form in help_of("export") for form in Format)
