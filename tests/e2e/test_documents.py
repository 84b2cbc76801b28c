"""The commands and links in the documents work."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer

from fmx_cli.app import app
from fmx_runtime.command.arguments import parse_arguments

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "runtime/*.md", "docs/**/*.md")
    for path in ROOT.glob(pattern)
)


def commands(program: str) -> list[tuple[str, list[str]]]:
    """Return the arguments of each command line of a program in the documents' code blocks."""
    found = []
    for document in DOCUMENTS:
        text = (ROOT / document).read_text("utf-8")
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            lines = block.splitlines() if language in {"", "sh"} else []
            typed = [line for line in lines if line.split()[:1] == [program]]
            found += [(document, shlex.split(line, comments=True)[1:]) for line in typed]
    return found


@pytest.mark.parametrize(("document", "words"), commands("fmx"))
def test_fmx_commands(document: str, words: list[str]) -> None:
    """``fmx`` accepts each of its command lines in a document: sub-command, options, arguments."""
    group = typer.main.get_command(app)
    length = 2 if " ".join(words[:2]) in group.commands else 1  # type: ignore[attr-defined]
    name, rest = " ".join(words[:length]), words[length:]
    assert name in group.commands, document  # type: ignore[attr-defined]
    group.commands[name].make_context(name, rest)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("document", "words"), commands("fmx-run"))
def test_fmx_run_commands(document: str, words: list[str]) -> None:
    """``fmx-run`` accepts each of its command lines in a document."""
    assert parse_arguments(words), document


@pytest.mark.parametrize(("document", "words"), commands("make"))
def test_make_commands(document: str, words: list[str]) -> None:
    """Each make command in a document names an existing target."""
    plan = subprocess.run(
        ["make", "--dry-run", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert plan.returncode == 0, f"{document}: {plan.stderr}"


def test_readme_shows_the_main_commands() -> None:
    """The README shows two make commands, three of fmx, and fmx-run."""
    shown = {(program, *words[:1]) for program in ("make", "fmx") for d, words in commands(program)
             if d == "README.md"}  # fmt: skip
    assert {("make", "demo"), ("make", "test"), ("fmx", "train"), ("fmx", "export"),
            ("fmx", "bench")} <= shown  # fmt: skip
    assert any(document == "README.md" for document, _ in commands("fmx-run"))


def test_links() -> None:
    """Each relative link in a document leads to a file of the repository."""
    for document in DOCUMENTS:
        text = (ROOT / document).read_text("utf-8")
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (ROOT / document).parent.joinpath(target).exists(), f"{document}: {target}"
