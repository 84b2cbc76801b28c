from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fmx_runtime

ROOT = Path(__file__).parents[2]
MODULES = [
    module.name
    for module in pkgutil.walk_packages(fmx_runtime.__path__, "fmx_runtime.")
    if not module.ispkg
]


@pytest.mark.parametrize("module", ["fmx_runtime", *MODULES])
def test_public_names(module: str) -> None:
    """Each module lists its public names, sorted, and has each of them."""
    found = importlib.import_module(module)
    # constants first, as ruff sorts them
    assert found.__all__ == sorted(
        found.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name)
    )
    assert len(set(found.__all__)) == len(found.__all__)
    for name in found.__all__:
        assert getattr(found, name) is not None


def test_public_names_are_those_of_their_modules() -> None:
    """Each public name of the package is the object of the module that defines it."""
    for name in fmx_runtime.__all__:
        value = getattr(fmx_runtime, name)
        assert getattr(sys.modules[value.__module__], name) is value


def test_public_names_are_documented() -> None:
    """The page about the Python API describes each public name of the package, and no other."""
    page = (ROOT / "docs" / "python-api.md").read_text("utf-8")
    assert sorted(re.findall(r"(?m)^\| `(\w+)` \|", page)) == sorted(fmx_runtime.__all__)
    (example,) = re.findall(r"(?s)```python\n(.*?)```", page)
    imported = [
        alias.name
        for node in ast.walk(ast.parse(example))
        if isinstance(node, ast.ImportFrom) and node.module == "fmx_runtime"
        for alias in node.names
    ]
    assert set(imported) <= set(fmx_runtime.__all__)


def test_public_names_are_type_checked() -> None:
    """The file that mypy checks uses each public name of the package."""
    source = (ROOT / "tests" / "typing" / "api.py").read_text("utf-8")
    used = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    assert set(fmx_runtime.__all__) <= used
    configuration = (ROOT / "pyproject.toml").read_text("utf-8")
    assert '"tests/typing/api.py"' in configuration


def test_an_unknown_name() -> None:
    """A name that does not exist is an AttributeError, as for any module."""
    with pytest.raises(AttributeError, match="module 'fmx_runtime' has no attribute 'Clasifier'"):
        fmx_runtime.Clasifier  # noqa: B018


def test_star_import() -> None:
    """``from fmx_runtime import *`` brings the public names and no others."""
    names: dict[str, object] = {}
    exec("from fmx_runtime import *", names)  # noqa: S102
    assert sorted(set(names) - {"__builtins__"}) == fmx_runtime.__all__


IMPORTED = """
import sys
before = set(sys.modules)
import fmx_runtime
from fmx_runtime import FmxError, ModelMetadata, ModelFileError
import fmx_runtime.command.main
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""


def test_an_import_is_light() -> None:
    """The package, its errors, the metadata and the command need the standard library only."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True
    )
    imported = set(done.stdout.split()) - {"fmx_runtime"}
    assert imported <= set(sys.stdlib_module_names)
