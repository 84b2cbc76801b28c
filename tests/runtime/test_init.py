from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

import fmx_runtime

MODULES = [
    module.name
    for module in pkgutil.walk_packages(fmx_runtime.__path__, "fmx_runtime.")
    if "._" not in module.name
]


@pytest.mark.parametrize("module", ["fmx_runtime", *MODULES])
def test_public_names(module: str) -> None:
    """Each module says what is public, sorted, and has it."""
    found = importlib.import_module(module)
    # constants first, as ruff sorts them
    assert found.__all__ == sorted(
        found.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name)
    )
    assert len(set(found.__all__)) == len(found.__all__)
    for name in found.__all__:
        assert getattr(found, name) is not None


def test_public_names_are_those_of_their_modules() -> None:
    """The package's public names are sorted, each the very object of the module that defines it."""
    assert fmx_runtime.__all__ == sorted(fmx_runtime.__all__)
    for name in fmx_runtime.__all__:
        value = getattr(fmx_runtime, name)
        assert getattr(sys.modules[value.__module__], name) is value


def test_an_unknown_name() -> None:
    """A name that is not there is an AttributeError as anywhere."""
    with pytest.raises(AttributeError, match="module 'fmx_runtime' has no attribute 'Clasifier'"):
        fmx_runtime.Clasifier  # noqa: B018


def test_star_import() -> None:
    """``from fmx_runtime import *`` brings the public names and nothing else."""
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
