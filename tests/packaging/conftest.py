"""The two wheels, really built, and a device of its own: a virtual environment with one of them."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


@dataclass(frozen=True)
class Wheels:
    """The built files of the device's and the host's distribution."""

    runtime: Path
    toolkit: Path


@dataclass(frozen=True)
class Device:
    """A virtual environment of its own, far from a checkout."""

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
    """Skip where pip cannot fetch the tool that builds wheels."""
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
    """Install into an environment; pip from outside, as Debian's Python has none to put in."""
    install = [*PIP, "--python", folder / "bin" / "python", "install", "-q"]
    subprocess.run([*install, "--only-binary", ":all:", *what], check=True)


@pytest.fixture(scope="session")
def device(wheels: Wheels, tmp_path_factory: pytest.TempPathFactory) -> Device:
    """The runtime's wheel, installed by pip with what it asks for."""
    folder = tmp_path_factory.mktemp("device") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    _install(folder, "-c", ROOT / "constraints.txt", f"{wheels.runtime}[onnx]")
    return Device(folder)


@pytest.fixture(scope="session")
def old_device(wheels: Wheels, tmp_path_factory: pytest.TempPathFactory) -> Device:
    """The runtime's wheel beside tflite-runtime, as on 32-bit Arm."""
    if sys.version_info >= (3, 12):
        pytest.skip("tflite-runtime has no wheels for Python 3.12 and newer")
    folder = tmp_path_factory.mktemp("old-device") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    _install(folder, "--no-deps", wheels.runtime)
    _install(folder, "tflite-runtime==2.14.0", "numpy<2", "pillow")
    return Device(folder)


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
