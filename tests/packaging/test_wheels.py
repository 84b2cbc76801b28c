from __future__ import annotations

import email
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from email.message import Message

ROOT = Path(__file__).parents[2]
RUNTIME = ["runtime/fmx_runtime"]
TOOLKIT = ["training/fmx_training", "export/fmx_export", "benchmarks/fmx_benchmarks", "cli/fmx_cli"]


def names(wheel: Path) -> set[str]:
    """The files in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def read(wheel: Path, name: str) -> str:
    """A file of the wheel's own metadata."""
    with zipfile.ZipFile(wheel) as archive:
        (found,) = (path for path in archive.namelist() if path.endswith(f".dist-info/{name}"))
        return archive.read(found).decode("utf-8")


def metadata(wheel: Path) -> Message:
    """The metadata that pip reads from a wheel."""
    return email.message_from_string(read(wheel, "METADATA"))


def requirements(wheel: Path, extra: str = "") -> dict[str, Requirement]:
    """The dependencies of a wheel on this machine, by name."""
    found = [Requirement(text) for text in metadata(wheel).get_all("Requires-Dist", [])]
    wanted = [
        item for item in found if item.marker is None or item.marker.evaluate({"extra": extra})
    ]
    return {item.name: item for item in wanted}


def source(packages: list[str]) -> set[str]:
    """The files of packages in the checkout, as a wheel names them."""
    return {
        str(path.relative_to((ROOT / package).parent))
        for package in packages
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize(("attribute", "packages"), [("runtime", RUNTIME), ("toolkit", TOOLKIT)])
def test_contents(attribute: str, packages: list[str], wheels: Any) -> None:
    """A wheel has its packages' files and its metadata: no tests, no notebooks, no tools."""
    wheel = getattr(wheels, attribute)
    described = {name for name in names(wheel) if ".dist-info/" in name}
    assert names(wheel) - described == source(packages)
    assert {name.partition("/")[2] for name in described} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
    }
    for package in packages:
        assert f"{Path(package).name}/py.typed" in names(wheel)


@pytest.mark.parametrize("attribute", ["runtime", "toolkit"])
def test_description(attribute: str, wheels: Any) -> None:
    """A wheel is for any machine, and has the license's text, a summary and a readme."""
    wheel = getattr(wheels, attribute)
    assert wheel.name.endswith("-py3-none-any.whl")
    described = metadata(wheel)
    assert described["License-Expression"] == "Apache-2.0"
    assert described["Summary"].endswith(".")
    assert described["Description-Content-Type"] == "text/markdown"
    assert read(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_text("utf-8")
    assert (ROOT / "LICENSE").read_bytes() == (ROOT / "runtime" / "LICENSE").read_bytes()


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        ("runtime", {"fmx-run": "fmx_runtime.command.main:main"}),
        ("toolkit", {"fmx": "fmx_cli.app:main"}),
    ],
)
def test_commands(attribute: str, expected: dict[str, str], wheels: Any) -> None:
    """Each wheel installs one command."""
    parser = ConfigParser()
    parser.read_string(read(getattr(wheels, attribute), "entry_points.txt"))
    assert parser.sections() == ["console_scripts"]
    assert dict(parser["console_scripts"]) == expected


def test_dependencies_of_the_device(wheels: Any) -> None:
    """The device needs NumPy, Pillow and one interpreter; everything else is an extra."""
    runtime = wheels.runtime
    assert set(requirements(runtime)) == {"numpy", "pillow", "ai-edge-litert"}
    assert set(requirements(runtime, "onnx")) - set(requirements(runtime)) == {"onnxruntime"}
    assert set(requirements(runtime, "watch")) - set(requirements(runtime)) == {"watchdog"}
    camera = set(requirements(runtime, "camera")) - set(requirements(runtime))
    assert camera == {"opencv-python-headless"}
    assert metadata(runtime).get_all("Provides-Extra") == ["camera", "onnx", "watch"]
    every = {Requirement(text).name for text in metadata(runtime).get_all("Requires-Dist", [])}
    extras = {"onnxruntime", "watchdog", "opencv-python-headless"}
    assert every == {"numpy", "pillow", "ai-edge-litert", "tflite-runtime", *extras}


@pytest.mark.parametrize(
    ("machine", "python", "expected"),
    [
        ("x86_64", "3.13", {"ai-edge-litert"}),
        ("aarch64", "3.11", {"ai-edge-litert"}),
        ("armv7l", "3.11", {"tflite-runtime"}),
        ("armv7l", "3.12", set()),
        ("armv6l", "3.11", set()),
    ],
)
def test_interpreters_of_machines(
    machine: str, python: str, expected: set[str], wheels: Any
) -> None:
    """Each machine gets the TFLite interpreter that has wheels for it, and never two."""
    texts = metadata(wheels.runtime).get_all("Requires-Dist", [])
    where = {"platform_machine": machine, "python_version": python, "extra": ""}
    given = {
        item.name
        for item in map(Requirement, texts)
        if item.marker is None or item.marker.evaluate(where)
    }
    assert given - {"numpy", "pillow"} == expected


def test_pinned_versions_fit(wheels: Any) -> None:
    """The versions that are pinned for development satisfy the dependencies of both wheels."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").split()
    pairs = [line.split("==") for line in lines if "==" in line]
    pinned = {canonicalize_name(name): version for name, version in pairs}
    wanted = requirements(wheels.toolkit) | requirements(wheels.runtime, "onnx")
    wanted.pop("fmx-runtime")
    for name, requirement in wanted.items():
        assert requirement.specifier.contains(pinned[canonicalize_name(name)]), name


def test_both_wheels_have_one_version(wheels: Any) -> None:
    """Both wheels have one version, and the host needs exactly that version of the device's."""
    toolkit = metadata(wheels.toolkit)
    version = metadata(wheels.runtime)["Version"]
    assert toolkit["Version"] == version
    needed = requirements(wheels.toolkit)["fmx-runtime"]
    assert str(needed.specifier) == f"=={version}"
    assert needed.extras == {"onnx"}


def test_the_device_wheel_is_small(wheels: Any) -> None:
    """The device's wheel is smaller than 400 KB, with a model of at most 256 KB in it."""
    with zipfile.ZipFile(wheels.runtime) as archive:
        models = [item for item in archive.infolist() if "/models/" in item.filename]
    assert [Path(item.filename).name for item in models] == ["edge.int8.tflite"]
    assert 0 < models[0].file_size <= 256_000
    assert wheels.runtime.stat().st_size < 400_000


IMPORT_ALL = """
import importlib, pathlib, pkgutil, sys
places = sys.argv[1:]
sys.path[:0] = places
count = 0
for name in ("fmx_runtime", "fmx_training", "fmx_export", "fmx_benchmarks", "fmx_cli"):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        found = importlib.import_module(module.name)
        assert any(found.__file__.startswith(place) for place in places), found.__file__
        count += not module.ispkg
print(count)
"""


def test_wheels_are_complete(wheels: Any, tmp_path: Path) -> None:
    """Each module of both wheels can be imported from the wheels alone."""
    for wheel in (wheels.runtime, wheels.toolkit):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(tmp_path / wheel.stem)
    places = [str(path) for path in tmp_path.iterdir()]
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *places],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    modules = {name for name in source(RUNTIME + TOOLKIT) if name.endswith(".py")}
    assert int(done.stdout) == len([name for name in modules if "__init__" not in name])
