"""Small inputs for the tools, and how to run them as a user does."""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import string
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fmx_runtime import labeled_images
from fmx_runtime.labeled_images import LabeledImages

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from fmx_training.data.dataset import Splits
    from fmx_training.data.fashion_mnist import Found
    from fmx_training.run_folder import Run

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="session")
def load_tool() -> Callable[[str], ModuleType]:
    """Imports a tool as a module: ``load_tool("bench_harness")``."""
    sys.path.append(str(TOOLS))  # tools import each other

    def load_tool(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look there
        spec.loader.exec_module(module)
        return module

    return load_tool


@pytest.fixture
def run_tool(tmp_path: Path, found: Found) -> Callable[..., str]:
    """Runs a tool in the test's folder and returns its standard output."""

    def run_tool(name: str, *arguments: object) -> str:
        done = subprocess.run(
            [sys.executable, TOOLS / f"{name}.py", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "FMX_DATA_DIR": str(found.folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run_tool


@pytest.fixture
def export_folder(exported: Path, tmp_path: Path) -> Path:
    """A copy of the small export as exports/baseline in the test's folder."""
    return Path(shutil.copytree(exported, tmp_path / "exports" / "baseline"))


@pytest.fixture
def run_folder(finished: Run, tmp_path: Path) -> Path:
    """A copy of the small finished run as runs/baseline in the test's folder."""
    return Path(shutil.copytree(finished.folder, tmp_path / "runs" / "baseline"))


@pytest.fixture
def image_file(splits: Splits, tmp_path: Path) -> Path:
    """An .npz file with 40 labeled test images."""
    test = splits.test.balanced_sample(40, 0)
    path = tmp_path / "images.npz"
    labeled_images.save(LabeledImages(test.name, test.images, test.labels, test.class_names), path)
    return path


def _template(tool: str) -> str:
    """The constant ``TEMPLATE`` of a tool, without importing what the tool imports."""
    for statement in ast.parse((TOOLS / f"{tool}.py").read_text("utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "TEMPLATE":
            template: str = ast.literal_eval(statement.value)
            return template
    raise AssertionError(f"{tool}.py has no TEMPLATE")


def _has_texts_of(tool: str, document: str, start: str = "") -> None:
    template = _template(tool)
    position = 0
    for text, _, _, _ in string.Formatter().parse(template[template.index(start) :]):
        found = document.find(text, position)
        assert found >= 0, text
        position = found + len(text)


@pytest.fixture(scope="session")
def has_texts_of() -> Callable[..., None]:
    """Asserts that a document has all texts of a tool's template, in order.

    ``has_texts_of(tool, document, start)`` looks at the template from ``start`` on.
    """
    return _has_texts_of
