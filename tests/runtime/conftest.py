"""Real images as files, the command as a process, and machines without an interpreter."""

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
from PIL import Image

import fmx_runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fmx_training.data.dataset import Splits

    FmxRun = Callable[..., subprocess.CompletedProcess[str]]

IMAGES = 12


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
    """Run ``fmx-run`` as a process, with the int8 TFLite model unless another one is given.

    It must never print a traceback or a warning.
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
def _unprivileged_user() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def unprivileged_user() -> contextlib.AbstractContextManager[None]:
    """Return a context in which root has no special permissions."""
    return _unprivileged_user()


@pytest.fixture
def bare_python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python with fmx_runtime, NumPy and Pillow, and no other packages."""
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


@pytest.fixture(scope="session")
def nan_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build an ONNX model whose first score is NaN for images with a mean above 200.

    It takes gray images of 8x8 pixels, values 0 to 255, and returns the probabilities 0.2 and 0.8.
    """
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    constants = {"limit": [200.0], "zero": [0.0], "low": [0.2], "high": [0.8]}
    node = onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [
            node("ReduceMean", ["image"], ["mean"], axes=[1, 2], keepdims=0),
            node("Sub", ["limit", "mean"], ["below"]),
            node("Log", ["below"], ["logarithm"]),  # NaN if negative
            node("Mul", ["logarithm", "zero"], ["zero_or_nan"]),
            node("Add", ["zero_or_nan", "low"], ["first"]),
            node("Mul", ["mean", "zero"], ["zeros"]),
            node("Add", ["zeros", "high"], ["second"]),
            node("Concat", ["first", "second"], ["scores"], axis=1),
        ],
        "nan",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 8, 8, 1])],
        [onnx.helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, [1, 2])],
        [
            onnx.helper.make_tensor(name, onnx.TensorProto.FLOAT, [1], values)
            for name, values in constants.items()
        ],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    path = tmp_path_factory.mktemp("nan") / "nan.onnx"
    path.write_bytes(model.SerializeToString())
    return path
