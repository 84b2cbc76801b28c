"""Real images as files, the command as a process, and machines that lack an interpreter."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import PIL
import pytest
from hypothesis import settings
from PIL import Image

import fmx_runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fmx_training.data.dataset import Splits

    FmxRun = Callable[..., subprocess.CompletedProcess[str]]

IMAGES = 12

# a busy machine is no failure, and an emulated one is slow
settings.register_profile("patient", deadline=None)
settings.register_profile("emulated", deadline=None, max_examples=15)
settings.load_profile("emulated" if "FMX_PREPARED" in os.environ else "patient")


@pytest.fixture(scope="session")
def boot(splits: Splits) -> Image.Image:
    """The first test image, 28x28, light on dark."""
    return Image.fromarray(splits.test.images[0, :, :, 0])


@pytest.fixture(scope="session")
def images(splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first test images as PNG files ``00.png`` and so on."""
    folder = tmp_path_factory.mktemp("images")
    for index in range(IMAGES):
        Image.fromarray(splits.test.images[index, :, :, 0]).save(folder / f"{index:02}.png")
    return folder


@pytest.fixture
def fmx_run(tmp_path: Path, exported: Path) -> FmxRun:
    """Run ``fmx-run`` as a process, with the int8 TFLite model unless another one is named.

    Whatever it is asked, it must not answer with a traceback or a warning.
    """

    def run(
        *arguments: str | Path, model: Path | None = exported / "baseline.int8.tflite", **more: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if key != "FMX_MODEL"}
        done = subprocess.run(
            [
                Path(sys.executable).with_name("fmx-run"),
                *(["--model", model] if model else []),
                *arguments,
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=environment | more,
        )
        assert "Traceback" not in done.stderr
        assert "Warning" not in done.stderr
        return done

    return run


@contextlib.contextmanager
def _nobody() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def nobody() -> contextlib.AbstractContextManager[None]:
    """Root may read and write everything: inside this context, somebody who may not."""
    return _nobody()


@pytest.fixture
def bare_python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python where fmx_runtime, NumPy and Pillow are installed, and only what is named else."""
    site = tmp_path / "site"
    site.mkdir()
    for module in (np, PIL, fmx_runtime):
        home = Path(module.__file__).parent
        (site / home.name).symlink_to(home)
    for libraries in ("numpy.libs", "pillow.libs"):
        (site / libraries).symlink_to(Path(np.__file__).parents[1] / libraries)

    def run(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-S", "-c", code, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(site)},
        )

    return run
