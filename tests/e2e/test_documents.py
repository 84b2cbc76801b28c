"""What the documents tell people to type is what the commands take."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer

from fmx_cli.app import app
from fmx_runtime.command.main import _options

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "runtime/README.md",
    "docs/export.md",
    "docs/raspberry-pi.md",
    "docs/arm.md",
    "docs/ci-gate.md",
    "docs/training.md",
    "docs/models/edge.md",
)


def commands(program: str) -> list[tuple[str, list[str]]]:
    """Every line in a code block of a document that starts with ``program``, as its words."""
    found = []
    for document in DOCUMENTS:
        text = (ROOT / document).read_text("utf-8")
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            lines = block.splitlines() if language in {"", "sh"} else []
            typed = [line for line in lines if line.split()[:1] == [program]]
            found += [(document, shlex.split(line, comments=True)[1:]) for line in typed]
    return found


@pytest.mark.parametrize(("document", "words"), commands("fmx"))
def test_fmx_takes_what_is_written(document: str, words: list[str]) -> None:
    """Each fmx command in a document is parsed by fmx: the sub-command and its options exist."""
    group = typer.main.get_command(app)
    name, *rest = words
    assert name in group.commands, document  # type: ignore[attr-defined]
    group.commands[name].make_context(name, rest)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("document", "words"), commands("fmx-run"))
def test_fmx_run_takes_what_is_written(document: str, words: list[str]) -> None:
    """Each fmx-run command in a document is parsed by fmx-run."""
    assert _options(words), document


@pytest.mark.parametrize(("document", "words"), commands("make"))
def test_make_has_what_is_written(document: str, words: list[str]) -> None:
    """Each make command in a document names a target."""
    plan = subprocess.run(
        ["make", "--dry-run", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert plan.returncode == 0, f"{document}: {plan.stderr}"


def test_the_readme_shows_the_commands_people_use() -> None:
    """The two make commands and the four commands are in the README."""
    shown = {(program, *words[:1]) for program in ("make", "fmx") for d, words in commands(program)
             if d == "README.md"}  # fmt: skip
    assert {("make", "demo"), ("make", "test"), ("fmx", "train"), ("fmx", "export"),
            ("fmx", "bench")} <= shown  # fmt: skip
    assert any(document == "README.md" for document, _ in commands("fmx-run"))


def test_links_lead_somewhere() -> None:
    """Every relative link in a document is a file of the repository."""
    for document in DOCUMENTS:
        text = (ROOT / document).read_text("utf-8")
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (ROOT / document).parent.joinpath(target).exists(), f"{document}: {target}"
