"""Fixtures: the two built wheels, and virtual environments with the device's wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


@dataclass(frozen=True)
class Wheels:
    """The built wheels of the device's and the host's distribution."""

    runtime: Path
    toolkit: Path


@dataclass(frozen=True)
class Device:
    """A virtual environment without the checkout."""

    folder: Path

    def run(self, *command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run one of the environment's own commands, as on a machine that has nothing else."""
        name, *arguments = command
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "FMX"))
        }
        return subprocess.run(
            [self.folder / "bin" / name, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            env=environment,
        )


@pytest.fixture(scope="session")
def _index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip where pip cannot fetch the package that builds wheels."""
    folder = tmp_path_factory.mktemp("index")
    pip = [*PIP, "--retries", "0", "--timeout", "10"]
    done = subprocess.run(
        [*pip, "download", "-q", "--no-deps", "-d", folder, "hatchling"],
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip("pip cannot reach PyPI: wheels need hatchling to be built")


@pytest.fixture(scope="session")
def wheels(_index: None, tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    """Both distributions as wheels."""
    folder = tmp_path_factory.mktemp("wheels")
    subprocess.run(
        [*PIP, "wheel", "-q", "--no-deps", "-w", folder, ROOT / "runtime", ROOT], check=True
    )
    (runtime,) = folder.glob("fmx_runtime-*.whl")
    (toolkit,) = folder.glob("fmx_toolkit-*.whl")
    assert len(list(folder.iterdir())) == 2
    return Wheels(runtime, toolkit)


def _install(folder: Path, *what: str | Path) -> None:
    """Install into an environment with this machine's pip, which Debian's Python lacks."""
    install = [*PIP, "--python", folder / "bin" / "python", "install", "-q"]
    subprocess.run([*install, "--only-binary", ":all:", *what], check=True)


def _interpreter(version: str) -> Path | None:
    """Find a version of Python: this one, one on PATH, or one of pyenv."""
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return Path(sys.executable)
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    places = [shutil.which(f"python{version}"), *home.glob(f"versions/{version}.*/bin/python")]
    for place in filter(None, places):
        # pyenv's own command on PATH answers only for the versions that are switched on
        done = subprocess.run(
            [place, "-c", "import sys, venv; print(*sys.version_info[:2], sep='.')"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.stdout.strip() == version:
            return Path(place)
    return None


class Devices:
    """Virtual environments with the runtime's wheel, each made on first use."""

    def __init__(self, wheel: Path, folder: Path) -> None:
        """Make them in ``folder``."""
        self._wheel = wheel
        self._folder = folder

    def get(self, version: str, interpreter: str) -> Device:
        """The one with that version of Python and that interpreter.

        ``default`` is what the wheel itself asks for, with onnxruntime; the others are
        ``tflite-runtime``, ``tflite-runtime, NumPy 2``, which do not go together, and ``none``.
        """
        folder = self._folder / f"{version}-{interpreter}"
        if folder.exists():
            return Device(folder)
        python = _interpreter(version)
        if python is None:
            pytest.skip(f"Python {version} is not on this machine")
        subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
        if interpreter == "default":
            # the pinned versions are of the Python that the toolkit is developed with
            pins = ["-c", ROOT / "constraints.txt"] if version == "3.11" else []
            _install(folder, *pins, f"{self._wheel}[onnx]")
        else:
            _install(folder, "--no-deps", self._wheel)
            numpy = "numpy<2" if interpreter == "tflite-runtime" else "numpy"
            _install(folder, "pillow", numpy)
            if interpreter != "none":
                _install(folder, "--no-deps", "tflite-runtime==2.14.0")
        return Device(folder)


@pytest.fixture(scope="session")
def devices(wheels: Wheels, tmp_path_factory: pytest.TempPathFactory) -> Devices:
    """Virtual environments of any Python and interpreter."""
    return Devices(wheels.runtime, tmp_path_factory.mktemp("devices"))


@pytest.fixture(scope="session")
def device(devices: Devices) -> Device:
    """The runtime's wheel with the dependencies that pip installs."""
    return devices.get("3.11", "default")


@pytest.fixture(scope="session")
def old_device(devices: Devices) -> Device:
    """The runtime's wheel with tflite-runtime, as on 32-bit Arm."""
    return devices.get("3.11", "tflite-runtime")


@pytest.fixture(scope="session")
def media_pipe(_index: None, tmp_path_factory: pytest.TempPathFactory) -> Device:
    """MediaPipe alone, which reads TFLite files by their standard metadata."""
    folder = tmp_path_factory.mktemp("media-pipe") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    try:
        # the OpenCV that it asks for needs a screen's libraries
        _install(folder, "--no-deps", "mediapipe==1.2.3")
        others = ("absl-py", "certifi", "flatbuffers", "matplotlib", "numpy")
        _install(folder, "-c", ROOT / "constraints.txt", "opencv-python-headless", *others)
    except subprocess.CalledProcessError:
        pytest.skip("MediaPipe cannot be installed here: no wheel for this machine and Python")
    return Device(folder)
