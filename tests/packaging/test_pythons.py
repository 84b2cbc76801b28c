from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_training.data.dataset import Splits

pytestmark = pytest.mark.slow  # environments of other Pythons take minutes

PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
# which interpreter has wheels for which Python, by what pip finds
INTERPRETERS = [
    *[(version, "ai-edge-litert") for version in PYTHONS],
    *[(version, "onnxruntime") for version in PYTHONS],
    *[(version, "tflite-runtime") for version in ("3.10", "3.11")],
]


@pytest.fixture(scope="module")
def model_folder(exported: Path, splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model files and real test images, as copied to a device."""
    folder = tmp_path_factory.mktemp("model_folder")
    for path in exported.glob("*.int8.*"):
        shutil.copy(path, folder)
    (folder / "images").mkdir()
    for index in range(20):
        image = Image.fromarray(splits.test.images[index, :, :, 0])
        image.save(folder / "images" / f"{index:02}.png")
    return folder


@pytest.mark.parametrize(("version", "interpreter"), INTERPRETERS)
def test_images_are_classified(
    version: str, interpreter: str, devices: Any, model_folder: Path, splits: Splits
) -> None:
    """On each Python, with each interpreter, the wheel's command classifies and self-tests.

    Most labels are the images' true labels.
    """
    # the wheel asks for the first, and has the second as an extra
    device = devices.get(version, interpreter if interpreter == "tflite-runtime" else "default")
    model = f"baseline.int8.{'onnx' if interpreter == 'onnxruntime' else 'tflite'}"
    done = device.run("fmx-run", "--model", model, "--jsonl", "images", cwd=model_folder)
    assert (done.returncode, done.stderr) == (0, "")
    predictions = [json.loads(line) for line in done.stdout.splitlines()]
    names = [splits.test.class_names[label] for label in splits.test.labels[:20]]
    right = sum(
        prediction["label"] == name for prediction, name in zip(predictions, names, strict=True)
    )
    assert right >= 14
    done = device.run("fmx-run", "--self-test", "--jsonl", model, cwd=model_folder)
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert result["backend"].startswith(f"{interpreter} ")
    assert result["verdict"] in {"exact", "within tolerance"}


@pytest.mark.parametrize("version", PYTHONS)
def test_a_missing_interpreter(version: str, devices: Any, model_folder: Path) -> None:
    """Without an interpreter, one line names this Python and the command that installs one."""
    device = devices.get(version, "none")
    for form, package in (("tflite", "ai-edge-litert"), ("onnx", "onnxruntime")):
        model = f"baseline.int8.{form}"
        done = device.run("fmx-run", "--model", model, "images/00.png", cwd=model_folder)
        assert (done.returncode, done.stdout) == (3, "")
        (line,) = done.stderr.splitlines()
        assert f"Python {version}" in line
        assert f"pip install {package}" in line


def test_tflite_runtime_with_numpy_2(devices: Any, model_folder: Path) -> None:
    """tflite-runtime with NumPy 2, which pip does not prevent, is a message with the remedy."""
    device = devices.get("3.11", "tflite-runtime, NumPy 2")
    done = device.run(
        "fmx-run", "--model", "baseline.int8.tflite", "images/00.png", cwd=model_folder
    )
    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert "tflite-runtime was built for NumPy 1" in line
    assert "numpy<2" in line
